"""Rate limit of an authenticated user's refused requests: above it, refusals become slow and cheap."""

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
"""Seconds for which a caller over its limit is refused without verifying its signature."""

HELD_S = 1
"""Average delay of a response in seconds, which slows down callers that wait for it."""

BUSY_IN_ONE = 8
"""Busy refusals (code 17) that count as one towards a block, because a client with many threads gets many.
Their responses are delayed like those of other refusals."""

CALLERS = 10_000
"""Maximum number of callers in memory."""

Caller = tuple[str, bytes]

_RANDOM = SystemRandom()


@dataclass(slots=True)
class _Refused:
    """arrival_us: Rate's arrival time over all refusals, for delays. counted_us: the same with fewer busy
    refusals, for blocks. blocked_until: on the monotonic clock, in seconds.
    """

    arrival_us: int = 0
    counted_us: int = 0
    blocked_until: float = 0.0


class RefusalLimit:
    """Counts refusals per user and network, in this worker's memory.

    It counts only requests with a correct signature, so that strangers cannot block a user, and it counts per
    network, because an eavesdropper can replay a signed request from another one.

    per_minute, burst: refusals on average and at once. share (0-1): part of the burst after which responses
    are delayed, and part of the worker's connections that delayed responses of one user may occupy.
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
        """Raises RateLimited, after a delay, if this caller is blocked."""
        if not self._refused:
            return
        refused = self._refused.get((username, network_of(address)))
        left_s = refused.blocked_until - self._clock.monotonic() if refused else 0.0
        if left_s > 0:
            self._hold_back(username)
            raise RateLimited("too many refused requests", retry_after=math.ceil(left_s))

    def count(self, username: str, address: str, *, busy: bool = False) -> None:
        """Count a refusal; returns after a delay if the caller had many recently. busy: of code 17."""
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
            # Counts refusals at the full rate during the block, so that a continuing flood is blocked again.
            refused.counted_us = int((now + BLOCKED_S) * 1_000_000) + self._rate.tolerance_us
        if max(refused.arrival_us, refused.counted_us) - now_us > self._free_us:
            self._hold_back(username)

    def _hold_back(self, username: str) -> None:
        if self._held[username] >= self._most_held:
            return
        self._held[username] += 1
        try:
            self._sleep(HELD_S * (0.5 + _RANDOM.random()))  # random, so that responses do not end together
        finally:
            self._held[username] -= 1
            self._held += Counter()  # drops zero counts
