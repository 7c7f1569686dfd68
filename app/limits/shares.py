"""A worker's places of one kind, such as download slots, and the share that one user may hold."""

from __future__ import annotations

import math
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from app.errors import Busy, ServiceError
from app.ports import Clock


def share_of(capacity: float, share: float) -> int:
    """The share (0-1) of a capacity, at least 1."""
    return max(1, math.ceil(capacity * share))


class Signal(Protocol):
    """Wakes a waiting caller, like threading.Event."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...

    def wait(self, timeout: float) -> object: ...


class UserShares:
    """Places such as download slots or database connections. share (0-1): the most that one user may hold.

    A caller waits for a free place: most places are held for milliseconds, and a refusal would use up the
    nonce. Users take turns, however many callers each has; the callers of one user are served in order. A
    free place goes to exactly one caller, and only that caller wakes: hundreds may be waiting.

    what: name of a place, for the log. signal: creates what a caller waits for.
    """

    def __init__(
        self,
        capacity: int,
        share: float,
        clock: Clock,
        *,
        what: str,
        signal: Callable[[], Signal] = threading.Event,
    ) -> None:
        self._capacity = capacity
        self._share = share_of(capacity, share)
        self._clock = clock
        self._what = what
        self._signal = signal
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[UserPlace]] = OrderedDict()

    @contextmanager
    def hold(
        self, username: str, deadline: float, *, first: bool = False, refusal: type[ServiceError] = Busy
    ) -> Iterator[None]:
        """A place for the time of the block. Raises the refusal, with retry_after, if none was free in time.

        deadline: how long to wait, on the monotonic clock. first: before the user's other callers.
        """
        place = self.ask(username, first=first)
        try:
            if not place.served.wait(max(0.0, deadline - self._clock.monotonic())):
                held = self._held[username]
                raise refusal(f"no {self._what} for {username} ({held} held)", retry_after=1)
            yield
        finally:
            self.give_back(place)

    def ask(self, username: str, *, first: bool = False) -> UserPlace:
        """A place that is free once `served` is set. It has to be given back, even if it never is."""
        place = UserPlace(username, self._signal())
        with self._lock:
            waiting = self._waiting.setdefault(username, deque())
            (waiting.appendleft if first else waiting.append)(place)
            self._serve()
        return place

    def give_back(self, place: UserPlace) -> None:
        """Give back a place, or stop waiting for it."""
        with self._lock:
            if place.served.is_set():
                self._held[place.username] -= 1
                self._held += Counter()  # drops zero counts
                self._serve()
                return
            waiting = self._waiting[place.username]
            waiting.remove(place)
            if not waiting:
                del self._waiting[place.username]

    def _serve(self) -> None:
        """Serve one waiting caller if there is a free place. Called after every change, so one is enough."""
        username = next((name for name in self._waiting if self._held[name] < self._share), None)
        if username is None or self._held.total() >= self._capacity:
            return
        waiting = self._waiting[username]
        self._held[username] += 1
        waiting.popleft().served.set()
        self._waiting.move_to_end(username)
        if not waiting:
            del self._waiting[username]


@dataclass(frozen=True, slots=True, eq=False)
class UserPlace:
    """A place that a user holds or waits for."""

    username: str
    served: Signal
