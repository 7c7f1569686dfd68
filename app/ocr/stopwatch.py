"""How long one part of a read took in all, however often it was called."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """One for each part of one read. monotonic: a clock, in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._spent_s = 0.0

    @property
    def ms(self) -> int:
        return round(self._spent_s * 1000)

    def timed(self, part: Callable[P, T]) -> Callable[P, T]:
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            begun = self._monotonic()
            try:
                return part(*args, **kwargs)
            finally:
                self._spent_s += self._monotonic() - begun

        return timed
