"""Pauses after failures, shared by all callers in a process."""

from __future__ import annotations

from app.ports import Clock


class Backoff:
    """A pause that one caller starts and all callers observe. pause_s: its length in seconds."""

    def __init__(self, clock: Clock, pause_s: float) -> None:
        self._clock = clock
        self._pause_s = pause_s
        self.until = 0.0  # on the monotonic clock

    @property
    def remaining_s(self) -> float:
        """0 while there is no pause."""
        return max(0.0, self.until - self._clock.monotonic())

    def start(self) -> None:
        """From now on; extends a pause that has already started."""
        self.until = self._clock.monotonic() + self._pause_s

    def end(self) -> None:
        self.until = 0.0
