"""Total time of one step of a read, over all calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """One stopwatch per step and read. monotonic: a clock, in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._spent_s = 0.0

    @property
    def ms(self) -> int:
        return round(self._spent_s * 1000)

    def timed(self, part: Callable[P, T]) -> Callable[P, T]:
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            started = self._monotonic()
            try:
                return part(*args, **kwargs)
            finally:
                self._spent_s += self._monotonic() - started

        return timed
