"""Rate limit by the generic cell rate algorithm (ITU-T I.371): a leaky bucket in one number."""

from __future__ import annotations

import math

from app.errors import RateLimited


class Rate:
    """per_minute: average requests. burst: requests at once. All times are integers, in microseconds."""

    def __init__(self, *, per_minute: int, burst: int) -> None:
        self.interval_us = 60_000_000 // per_minute
        self.tolerance_us = self.interval_us * burst

    def next_arrival(self, stored: int, now: int) -> int:
        """The theoretical arrival time to store after admitting a request. Raises RateLimited.

        A stored time more than a burst ahead means that the clock was set back; it is limited to the burst.
        """
        arrival = max(now, min(stored, now + self.tolerance_us)) + self.interval_us
        wait = arrival - self.tolerance_us - now
        if wait > 0:
            raise RateLimited(f"{wait} us too early", retry_after=math.ceil(wait / 1_000_000))
        return arrival
