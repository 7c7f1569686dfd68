"""How usage records that are stored together change what their users have used. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Balance:
    """used: charged records of the period that began at since, in ms since 1970."""

    used: int
    since: int


class QuotaLedger:
    """balances: by user id, before the change. Users without a balance, who were deleted, are ignored."""

    def __init__(self, balances: Mapping[int, Balance]) -> None:
        self.balances = dict(balances)

    def enter(self, user_id: int, started_at: int, charge: int) -> None:
        """charge: 1, 0 or -1 for a record that started at started_at. Earlier periods no longer count."""
        balance = self.balances.get(user_id)
        if balance is not None and started_at >= balance.since:
            self.balances[user_id] = Balance(balance.used + charge, balance.since)
