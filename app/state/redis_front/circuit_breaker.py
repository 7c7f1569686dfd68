"""Refuses calls to a dependency that has just failed, so that callers do not wait for its timeout in turn."""

from __future__ import annotations

from collections.abc import Callable

from app.ports import Clock
from app.state.redis_front.backoff import Backoff

Refusal = Callable[[str, float], Exception]
"""Makes the error of a refused call from the text of the failure and the seconds left of the pause."""


class CircuitBreaker:
    """After a failure, refuses calls for pause_s; then lets one call probe the dependency.

    The other calls stay refused while the probe runs, for at most pause_s. A success ends the pause. A caller
    reports how its call ended with `succeed` or `fail`; a call that was cancelled reports nothing.
    """

    def __init__(self, clock: Clock, pause_s: float, refusal: Refusal) -> None:
        self._backoff = Backoff(clock, pause_s)
        self._refusal = refusal
        self._failure: str | None = None

    def enter(self) -> float:
        """Before a call. Returns a ticket for `recheck`. Raises the refusal."""
        self._refuse_during_pause()
        if self._failure is not None:
            self._backoff.start()  # for the other calls: this one is the probe
        return self._backoff.until

    def recheck(self, ticket: float) -> None:
        """Before a call that waited after `enter`. Raises the refusal if another call failed meanwhile."""
        if self._backoff.until != ticket:
            self._refuse_during_pause()

    def succeed(self) -> None:
        self._failure = None
        self._backoff.end()

    def fail(self, failure: str) -> None:
        """failure: what went wrong, for the refusals that follow."""
        self._failure = failure
        self._backoff.start()

    def _refuse_during_pause(self) -> None:
        if remaining_s := self._backoff.remaining_s:
            raise self._refusal(self._failure or "", remaining_s)
