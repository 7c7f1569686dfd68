"""How fast a user may send: the generic cell rate algorithm (ITU-T I.371), a leaky bucket in one number."""

from __future__ import annotations

import math

from app.errors import RateLimited


class Rate:
    """per_minute: requests on average. burst: requests at once. Times are whole microseconds, so exact."""

    def __init__(self, *, per_minute: int, burst: int) -> None:
        self.interval_us = 60_000_000 // per_minute
        self.tolerance_us = self.interval_us * burst

    def next_arrival(self, stored: int, now: int) -> int:
        """The theoretical arrival time to store once a request of now is let in. Raises RateLimited.

        The stored one is at most a full burst ahead, or our clock was set back since: then it is cut to that.
        """
        arrival = max(now, min(stored, now + self.tolerance_us)) + self.interval_us
        wait = arrival - self.tolerance_us - now
        if wait > 0:
            raise RateLimited(f"{wait} us too early", retry_after=math.ceil(wait / 1_000_000))
        return arrival
