"""The period of a quota: a day or a month of UTC, or one without end. Pure arithmetic in ms since 1970."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from app.model.account import Account, Period

DAY_MS = 86_400_000


def period_start(kind: Period, moment: int) -> int:
    """When the period that contains this moment began; 0 for the one without end."""
    if kind == "none":
        return 0
    if kind == "day":
        return moment - moment % DAY_MS
    day = datetime.fromtimestamp(moment / 1000, UTC)
    return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000


def period_end(kind: Period, moment: int) -> int | None:
    """When the next period begins, or None."""
    if kind == "none":
        return None
    start = period_start(kind, moment)
    return period_start(kind, start + (DAY_MS if kind == "day" else 31 * DAY_MS))


def period_left_s(kind: Period, moment: int) -> int | None:
    """Whole seconds, rounded up, until the next period begins, or None."""
    ends = period_end(kind, moment)
    return None if ends is None else math.ceil((ends - moment) / 1000)


@dataclass(frozen=True, slots=True)
class QuotaPeriod:
    """One period of one user's quota.

    expires_ms: when Redis may delete what it stores for the period: a day after its end, since requests that
    started in the period may end, and be moved to the database, later. None for the period without end.
    """

    user_id: int
    kind: Period = "none"
    starts_ms: int = 0
    expires_ms: int | None = None

    @classmethod
    def of(cls, account: Account, moment: int) -> Self:
        return cls.at(account.user_id, account.quota_period, moment)

    @classmethod
    def at(cls, user_id: int, kind: Period, moment: int) -> Self:
        ends = period_end(kind, moment)
        return cls(user_id, kind, period_start(kind, moment), None if ends is None else ends + DAY_MS)
