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
    """

    def __init__(self, slots: int, clock: Clock) -> None:
        self._slots = slots
        self._share = max(1, slots // 4)
        self._clock = clock
        self._held: Counter[str] = Counter()
        self._given_back = threading.Condition()

    @contextmanager
    def hold(self, username: str, deadline: float) -> Iterator[None]:
        """deadline: how long to wait, on the monotonic clock. Raises Busy when none was free by then."""
        with self._given_back:
            if not self._given_back.wait_for(
                lambda: self._free(username), timeout=max(0.0, deadline - self._clock.monotonic())
            ):
                raise Busy(f"no download slot for {username} ({self._held[username]} held)", retry_after=1)
            self._held[username] += 1
        try:
            yield
        finally:
            with self._given_back:
                self._held[username] -= 1
                self._held += Counter()  # drops who holds none
                self._given_back.notify_all()

    def _free(self, username: str) -> bool:
        return self._held[username] < self._share and self._held.total() < self._slots
