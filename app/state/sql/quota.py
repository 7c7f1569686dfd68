"""A user's spent quota: the number of its charged records that started in the current period.

The row in `users` stores that number (quota_used) and the start of the period it belongs to
(period_started_at).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, func, select, update

from app.errors import DependencyUnavailable
from app.state.sql.ledger import Balance
from app.state.sql.quota_period import period_start
from app.state.sql.tables import usage_records, users

_CHARGE = (
    update(users)
    .where(users.c.id == bindparam("this"), users.c.period_started_at <= bindparam("started"))
    .values(quota_used=users.c.quota_used + bindparam("times"))
)


def counted(user: Row[Any], moment: int) -> tuple[int, int]:
    """How much is used at this moment according to a row of `users`, and the start of that period.

    A record that started in a new period ends the previous one; a late record does not bring it back.
    """
    since = max(user.period_started_at, period_start(user.quota_period, moment))
    return (user.quota_used if since == user.period_started_at else 0), since


def charge(connection: Connection, user_id: int, times: int, started_at: int) -> None:
    """Add times, which may be negative, to quota_used.

    started_at: that of the record whose charge changes in the same transaction. The charge of a record of an
    earlier period no longer counts.
    """
    if times:
        connection.execute(_CHARGE, {"this": user_id, "started": started_at, "times": times})


def locked_balances(connection: Connection, moments: Mapping[int, int]) -> dict[int, Balance]:
    """moments: in ms since 1970, by user id. Locks the users in the order in which all writers do."""
    owners = select(users).where(users.c.id.in_(moments)).order_by(users.c.id).with_for_update()
    return {user.id: Balance(*counted(user, moments[user.id])) for user in connection.execute(owners)}


def write_balances(connection: Connection, balances: Mapping[int, Balance]) -> None:
    for user_id, balance in balances.items():
        this = update(users).where(users.c.id == user_id)
        connection.execute(this.values(quota_used=balance.used, period_started_at=balance.since))


def charged_rows(connection: Connection, user_id: int, since: int, *, without: Collection[str]) -> int:
    """The number of charged records in the period that began at since.

    without: ids of requests whose records are not counted. One statement, so both numbers belong to one
    moment. Raises DependencyUnavailable if the user's period has just changed.
    """
    excluded = select(func.count()).where(*_charged(user_id, since), usage_records.c.request_id.in_(without))
    query = select(users, excluded.scalar_subquery().label("excluded")).where(users.c.id == user_id)
    user = connection.execute(query).one_or_none()
    if user is None:
        return 0
    used, counted_since = counted(user, since)
    if counted_since != since:
        raise DependencyUnavailable(f"the period of user {user_id} has just changed", retry_after=1)
    return used - int(user.excluded)


def charged_since(connection: Connection, user_id: int, since: int) -> int:
    """The number of charged records that started at since or later, counted in usage_records."""
    return connection.scalar(select(func.count()).where(*_charged(user_id, since))) or 0


def _charged(user_id: int, since: int) -> tuple[ColumnElement[bool], ...]:
    rows = usage_records.c
    return rows.user_id == user_id, rows.started_at >= since, rows.charged
