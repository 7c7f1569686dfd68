"""How many refusals a signed user gets in full: as many as it may send requests, and then cheaper ones."""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import SystemRandom

from app.errors import RateLimited
from app.limits.network import network_of
from app.limits.rate import Rate
from app.limits.shares import share_of
from app.ports import Clock

BLOCKED_S = 10
"""How long a caller over its rate is answered without a look at its signature."""

HELD_S = 1
"""How long an answer is kept back, on average, so that callers who wait for it ask no more often."""

BUSY_IN_ONE = 8
"""Refusals for want of room that count as one towards a block: a client with many threads gets many of them.
Their answers are kept back as soon as those of others."""

CALLERS = 10_000
"""Callers that are remembered at most."""

Caller = tuple[str, bytes]

_RANDOM = SystemRandom()


@dataclass(slots=True)
class _Refused:
    """Both arrivals as Rate has them: of all refusals, after which answers are kept back, and of those that
    count towards a block. blocked_until: on the monotonic clock.
    """

    arrival_us: int = 0
    counted_us: int = 0
    blocked_until: float = 0.0


class RefusalLimit:
    """Counts by user and by the network that a request came from, in this worker's memory.

    Only refusals of requests whose signature was right are counted, so that strangers cannot have a user
    blocked; and by network too, since somebody who has overheard a request can send it again and again.

    per_minute, burst: refusals that a user may have, on average and at once. share (0-1): of the burst, after
    which further answers are kept back, and of the worker's connections, which these take meanwhile.
    """

    def __init__(
        self,
        *,
        per_minute: int,
        burst: int,
        share: float,
        connections: int,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = Rate(per_minute=per_minute, burst=burst)
        self._rate_of_busy = Rate(per_minute=BUSY_IN_ONE * per_minute, burst=BUSY_IN_ONE * burst)
        self._free_us = math.ceil(self._rate.tolerance_us * share)
        self._most_held = share_of(connections, share)
        self._clock = clock
        self._sleep = sleep
        self._refused: OrderedDict[Caller, _Refused] = OrderedDict()
        self._held: Counter[str] = Counter()

    def check(self, username: str, address: str) -> None:
        """Raises RateLimited, after a while, where this caller is over its rate."""
        if not self._refused:
            return
        refused = self._refused.get((username, network_of(address)))
        left_s = refused.blocked_until - self._clock.monotonic() if refused else 0.0
        if left_s > 0:
            self._hold_back(username)
            raise RateLimited("too many refused requests", retry_after=math.ceil(left_s))

    def count(self, username: str, address: str, *, busy: bool = False) -> None:
        """One more; returns after a while where there were many of late. busy: for want of room."""
        caller, now = (username, network_of(address)), self._clock.monotonic()
        now_us = int(now * 1_000_000)
        refused = self._refused.setdefault(caller, _Refused())
        self._refused.move_to_end(caller)
        if len(self._refused) > CALLERS:
            self._refused.popitem(last=False)
        with suppress(RateLimited):
            refused.arrival_us = self._rate.next_arrival(refused.arrival_us, now_us)
        rate = self._rate_of_busy if busy else self._rate
        try:
            refused.counted_us = rate.next_arrival(refused.counted_us, now_us)
        except RateLimited:
            refused.blocked_until = now + BLOCKED_S
            # As if it had been refused at its rate meanwhile: a flood that goes on is blocked again at once.
            refused.counted_us = int((now + BLOCKED_S) * 1_000_000) + self._rate.tolerance_us
        if max(refused.arrival_us, refused.counted_us) - now_us > self._free_us:
            self._hold_back(username)

    def _hold_back(self, username: str) -> None:
        if self._held[username] >= self._most_held:
            return
        self._held[username] += 1
        try:
            self._sleep(HELD_S * (0.5 + _RANDOM.random()))  # not all of them at once
        finally:
            self._held[username] -= 1
            self._held += Counter()  # drops who holds none
