"""How many places of one kind a worker has, and how many of them one user may hold at once."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import Busy, ServiceError
from app.ports import Clock


def share_of(capacity: float, share: float) -> int:
    """At least one place, however small the share."""
    return max(1, math.ceil(capacity * share))


class UserShares:
    """Places such as download slots or database connections; share (0-1) of them is the most for one user.

    A caller who finds none waits: most places are held for milliseconds, and a refusal would spend the nonce.
    A place is handed to the first who may have it, and nobody else is woken: hundreds may be waiting.

    what: names the places in the log. refusal: raised where none was free in time.
    """

    def __init__(
        self, capacity: int, share: float, clock: Clock, *, what: str, refusal: type[ServiceError] = Busy
    ) -> None:
        self._capacity = capacity
        self._share = share_of(capacity, share)
        self._clock = clock
        self._what = what
        self._refusal = refusal
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []

    @contextmanager
    def hold(self, username: str, deadline: float) -> Iterator[None]:
        """deadline: how long to wait, on the monotonic clock. Raises `refusal`, with retry_after."""
        waiter = self._take(username)
        try:
            if not waiter.served.wait(max(0.0, deadline - self._clock.monotonic())):
                held = self._held[username]
                raise self._refusal(f"no {self._what} for {username} ({held} held)", retry_after=1)
            yield
        finally:
            self._give_back(waiter)

    def _take(self, username: str) -> _Waiter:
        waiter = _Waiter(username)
        with self._lock:
            self._waiting.append(waiter)
            self._serve()
        return waiter

    def _give_back(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.served.is_set():
                self._held[waiter.username] -= 1
                self._held += Counter()  # drops who holds none
                self._serve()
            else:
                self._waiting.remove(waiter)

    def _serve(self) -> None:
        """One place came free, or one waits more: that is one to be served at most."""
        for waiter in self._waiting if self._held.total() < self._capacity else ():
            if self._held[waiter.username] < self._share:
                self._held[waiter.username] += 1
                self._waiting.remove(waiter)
                waiter.served.set()
                return


class _Waiter:
    def __init__(self, username: str) -> None:
        self.username = username
        self.served = threading.Event()
