"""How many bytes of bodies a worker holds for callers that have proven nothing yet."""

from __future__ import annotations

from collections import Counter
from typing import Self

from app.errors import Busy, RateLimited
from app.limits.network import network_of

FREE_BYTES = 64 * 1024
"""Of each body, so that a request which only names a URL passes while large bodies fill the budget. Their
number is bounded by the connections of a worker."""

RETRY_AFTER_S = 2


class BodyBudget:
    """max_bytes: of all callers together. max_bytes_per_address: of one IPv4 address, or /64 of IPv6."""

    def __init__(self, *, max_bytes: int, max_bytes_per_address: int) -> None:
        self.max_bytes = max_bytes
        self.max_bytes_per_address = max_bytes_per_address
        self.held = 0
        self.held_by: Counter[bytes] = Counter()

    def body_of(self, address: str) -> UnprovenBody:
        return UnprovenBody(self, network_of(address))


class UnprovenBody:
    """A body's part of the budget, given back at the end of the `with` block, or earlier by release()."""

    def __init__(self, budget: BodyBudget, network: bytes) -> None:
        self._budget = budget
        self._network = network
        self._held = 0

    def reserve(self, size: int) -> None:
        """Bytes more than before. Raises RateLimited or Busy where the budget has none left."""
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
