"""How many downloads a worker runs at once, and how many of them one user may hold."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import Busy
from app.ports import Clock


class DownloadSlots:
    """Counts, and never waits: a refusal is quick. A quarter of the slots is the most for one user, so that
    the slow picture hosts of one cannot shut out the others."""

    def __init__(self, slots: int, clock: Clock) -> None:
        self._slots = slots
        self._share = max(1, slots // 4)
        self._clock = clock
        self._lock = threading.Lock()
        self._held: list[tuple[str, float]] = []

    @contextmanager
    def hold(self, username: str, deadline: float) -> Iterator[None]:
        """deadline: when the download ends at the latest. Raises Busy, and says when a slot is free."""
        place = (username, deadline)
        with self._lock:
            self._refuse_if_full(username)
            self._held.append(place)
        try:
            yield
        finally:
            with self._lock:
                self._held.remove(place)

    def _refuse_if_full(self, username: str) -> None:
        mine = [end for name, end in self._held if name == username]
        if len(mine) >= self._share:
            in_the_way, detail = mine, f"{username} holds its {self._share} download slots"
        elif len(self._held) >= self._slots:
            in_the_way, detail = [end for _, end in self._held], f"all {self._slots} download slots are held"
        else:
            return
        wait = min(in_the_way) - self._clock.monotonic()
        raise Busy(detail, retry_after=max(1, math.ceil(wait)))
