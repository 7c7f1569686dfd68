"""How many downloads a worker runs at once, and how many of them one user may hold."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import Busy
from app.ports import Clock


class DownloadSlots:
    """A quarter of the slots is the most for one user, so that its slow picture hosts cannot shut out others.

    Whoever finds none waits for one: most downloads take milliseconds, and a refusal would spend the nonce.
    A slot is handed to the first who may have it, and nobody else is woken: hundreds may be waiting.
    """

    def __init__(self, slots: int, clock: Clock) -> None:
        self._slots = slots
        self._share = max(1, slots // 4)
        self._clock = clock
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []

    @contextmanager
    def hold(self, username: str, deadline: float) -> Iterator[None]:
        """deadline: how long to wait, on the monotonic clock. Raises Busy when none was free by then."""
        waiter = self._take(username)
        try:
            if not waiter.served.wait(max(0.0, deadline - self._clock.monotonic())):
                raise Busy(f"no download slot for {username} ({self._held[username]} held)", retry_after=1)
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
        """One slot came free, or one waits more: that is one to be served at most."""
        for waiter in self._waiting if self._held.total() < self._slots else ():
            if self._held[waiter.username] < self._share:
                self._held[waiter.username] += 1
                self._waiting.remove(waiter)
                waiter.served.set()
                return


class _Waiter:
    def __init__(self, username: str) -> None:
        self.username = username
        self.served = threading.Event()
