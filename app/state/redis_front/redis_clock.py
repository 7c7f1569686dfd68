"""The time on Redis's clock, without asking Redis for each request."""

from __future__ import annotations

import math

from app.ports import Clock
from app.state.redis_front.client import RedisLink


class RedisClock:
    """Follows Redis's clock by the monotonic clock. The estimate is never ahead of Redis, since an answer is
    older when it arrives than when Redis wrote the time into it.
    """

    def __init__(self, link: RedisLink, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._offset_ms: float | None = None  # of Redis's clock from our monotonic clock

    def now_ms(self) -> int:
        """Asks Redis only until `set` was called. Raises RedisUnavailable."""
        if self._offset_ms is None:
            seconds, microseconds = self._link.ask("TIME")
            self.set(int(seconds) * 1000 + int(microseconds) // 1000)
        return math.floor(self._clock.monotonic() * 1000 + (self._offset_ms or 0))

    def set(self, redis_ms: int) -> None:
        """redis_ms: the time in an answer that has just arrived."""
        self._offset_ms = redis_ms - self._clock.monotonic() * 1000
