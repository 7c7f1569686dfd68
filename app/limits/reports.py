"""How many usage reports a worker computes, and how much of its time those of one user take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import Busy, RateLimited
from app.ports import Clock

RETRY_AFTER_S = 1

AHEAD_S = 3.0
"""Seconds of its share that a user may use in advance, for some reports one after the other."""

LONGEST_PAUSE_S = 1.0
"""The longest delay of a report, for a user who has used more than that."""


class ReportLimit:
    """Admits reports to a worker, running and waiting ones together.

    at_once: reports in all; each user may have one of them.
    share (0-1): of the time, for the reports of one user. Over its share a user's next report is delayed:
    reports compute beside the loop, and a user who sends them continuously would slow down all others.
    """

    def __init__(
        self, *, at_once: int, share: float, clock: Clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._at_once = at_once
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._users: set[str] = set()
        self._used_until: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def held(self, username: str) -> Iterator[None]:
        """Hold a place while a report is computed.

        Raises RateLimited while the user has one already, Busy where no place is left.
        """
        with self._lock:
            if username in self._users:
                raise RateLimited("another report of the user is under way", retry_after=RETRY_AFTER_S)
            if len(self._users) >= self._at_once:
                raise Busy(f"{self._at_once} reports are under way", retry_after=RETRY_AFTER_S)
            self._users.add(username)
        try:
            self._pause(username)
            with self._timed(username):
                yield
        finally:
            with self._lock:
                self._users.remove(username)

    def _pause(self, username: str) -> None:
        pause_s = self._used_until.get(username, 0.0) - AHEAD_S - self._clock.monotonic()
        if pause_s > 0:
            self._sleep(pause_s)

    @contextmanager
    def _timed(self, username: str) -> Iterator[None]:
        began = self._clock.monotonic()
        try:
            yield
        finally:
            now = self._clock.monotonic()
            with self._lock:
                used_until = max(began, self._used_until.get(username, 0.0)) + (now - began) / self._share
                self._used_until[username] = min(used_until, now + AHEAD_S + LONGEST_PAUSE_S)
                self._used_until = {user: t for user, t in self._used_until.items() if t > now}
