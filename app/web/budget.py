"""Limits of the memory that a worker spends on bodies of callers that are not authenticated yet."""

from __future__ import annotations

from collections import Counter
from typing import Self

from app.errors import Busy, RateLimited
from app.limits.network import network_of

FREE_BYTES = 64 * 1024
"""Bytes of each body that do not count, so that a request with a URL passes while large bodies fill the
budget. A worker's connections bound the number of such bodies."""

RETRY_AFTER_S = 2


class BodyBudget:
    """max_bytes: for all callers. max_bytes_per_address: for one IPv4 address or IPv6 /64 network."""

    def __init__(self, *, max_bytes: int, max_bytes_per_address: int) -> None:
        self.max_bytes = max_bytes
        self.max_bytes_per_address = max_bytes_per_address
        self.held = 0
        self.held_by: Counter[bytes] = Counter()

    def body_of(self, address: str) -> UnprovenBody:
        return UnprovenBody(self, network_of(address))


class UnprovenBody:
    """The share of the budget that one body holds, until the end of the `with` block or release()."""

    def __init__(self, budget: BodyBudget, network: bytes) -> None:
        self._budget = budget
        self._network = network
        self._held = 0

    def reserve(self, size: int) -> None:
        """Hold so many further bytes. Raises RateLimited or Busy where the budget is exhausted."""
        budget = self._budget
        if budget.held_by[self._network] + size > budget.max_bytes_per_address:
            raise RateLimited("unproven bytes of the address", retry_after=RETRY_AFTER_S)
        if budget.held + size > budget.max_bytes:
            raise Busy("unproven bytes", retry_after=RETRY_AFTER_S)
        self._hold(size)

    def release(self) -> None:
        if self._held:
            self._hold(-self._held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _hold(self, size: int) -> None:
        self._held += size
        self._budget.held += size
        self._budget.held_by[self._network] += size
        if not self._budget.held_by[self._network]:
            del self._budget.held_by[self._network]
