"""What a user has used of its quota: the number of its charged records that were begun in the current period.

A period is a day or a month of UTC, or has no end. The user's row says when the one began that is counted.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Connection, Row, bindparam, func, select, update

from app.errors import DependencyUnavailable
from app.model.account import Account, Period
from app.state.sql.tables import usage_records, users

DAY_MS = 86_400_000

_CHARGE = (
    update(users)
    .where(users.c.id == bindparam("this"), users.c.period_started_at <= bindparam("begun"))
    .values(quota_used=users.c.quota_used + bindparam("times"))
)


def period_start(period: Period, moment: int) -> int:
    """When the period of this moment began; both in ms since 1970. 0 where it has no end."""
    if period == "none":
        return 0
    if period == "day":
        return moment - moment % DAY_MS
    day = datetime.fromtimestamp(moment / 1000, UTC)
    return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000


def period_end(period: Period, moment: int) -> int | None:
    """When the next one begins, or None."""
    if period == "none":
        return None
    start = period_start(period, moment)
    return period_start(period, start + (DAY_MS if period == "day" else 31 * DAY_MS))


def period_left_s(period: Period, moment: int) -> int | None:
    """Whole seconds from this moment until it has begun, or None."""
    ends = period_end(period, moment)
    return None if ends is None else math.ceil((ends - moment) / 1000)


def counted(user: Row[Any], moment: int) -> tuple[int, int]:
    """What a row of `users` says to this moment: how much is used, and since when that is counted.

    A record begun in a new period ends the one before; one that comes late does not bring it back.
    """
    since = max(user.period_started_at, period_start(user.quota_period, moment))
    return (user.quota_used if since == user.period_started_at else 0), since


def charge(connection: Connection, user_id: int, times: int, begun: int) -> None:
    """Change quota_used along with a charged record of a transaction. begun: its started_at; one of an
    earlier period is counted no more. times may be negative.
    """
    if times:
        connection.execute(_CHARGE, {"this": user_id, "begun": begun, "times": times})


def charged_rows(connection: Connection, user_id: int, since: int, *, without: Collection[str]) -> int:
    """How many records are charged in the period that began then, but for those of some requests.

    In one statement, so that it is true of one moment. Raises DependencyUnavailable where the user has just
    been given another period.
    """
    mine = (usage_records.c.user_id == user_id, usage_records.c.started_at >= since, usage_records.c.charged)
    apart = select(func.count()).where(*mine, usage_records.c.request_id.in_(without)).scalar_subquery()
    user = connection.execute(select(users, apart.label("apart")).where(users.c.id == user_id)).one_or_none()
    if user is None:
        return 0
    used, counted_since = counted(user, since)
    if counted_since != since:
        raise DependencyUnavailable(f"the period of user {user_id} has just changed", retry_after=1)
    return used - int(user.apart)


def charged_since(connection: Connection, user_id: int, since: int) -> int:
    """How many records say so."""
    mine = (usage_records.c.user_id == user_id, usage_records.c.started_at >= since, usage_records.c.charged)
    return connection.scalar(select(func.count()).where(*mine)) or 0


@dataclass(frozen=True, slots=True)
class Budget:
    """One user's quota in one period. starts_ms: its begin. ends_ms: when Redis may forget it, or None."""

    user_id: int
    period: Period = "none"
    starts_ms: int = 0
    ends_ms: int | None = None

    @classmethod
    def of(cls, account: Account, moment: int) -> Self:
        return cls.at(account.user_id, account.quota_period, moment)

    @classmethod
    def at(cls, user_id: int, period: Period, moment: int) -> Self:
        ends = period_end(period, moment)
        forget = None if ends is None else ends + DAY_MS  # what was begun in it may end and be moved later
        return cls(user_id, period, period_start(period, moment), forget)

    @property
    def quota_key(self) -> str:
        return f"ocr:quota:{self.user_id}:{self.period}:{self.starts_ms}"

    @property
    def held_key(self) -> str:
        return f"ocr:held:{self.user_id}:{self.period}:{self.starts_ms}"
