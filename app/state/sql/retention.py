"""Deletes usage records past their retention period, in batches."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, and_, delete, func, select

from app.state.sql.database import Database
from app.state.sql.quota_period import DAY_MS
from app.state.sql.tables import usage_records
from app.state.sql.usage_days import build_missing

BATCH = 500
"""Records deleted in one transaction, so that it delays no request for long."""


def expired(database: Database, before: int) -> int:
    """The number of ended records that started before this moment, in ms since 1970.

    Raises DependencyUnavailable.
    """
    with database.read() as connection:
        return connection.scalar(select(func.count()).where(_old(before))) or 0


def purge(database: Database, before: int) -> Iterator[int]:
    """Delete the expired records in batches, oldest first; yields the size of each batch.

    before: as in `expired`, and no later than the last midnight of UTC. Affected days are built first, so
    reports do not change. quota_used does not change. Running records stay. Raises DependencyUnavailable.
    """
    build_missing(database, 0, -(-before // DAY_MS))
    oldest = select(usage_records.c.request_id).where(_old(before)).order_by(usage_records.c.started_at)
    while True:
        with database.write() as connection:
            batch = connection.scalars(oldest.limit(BATCH)).all()
            connection.execute(delete(usage_records).where(usage_records.c.request_id.in_(batch)))
        if batch:
            yield len(batch)
        if len(batch) < BATCH:
            return


def _old(before: int) -> ColumnElement[bool]:
    return and_(usage_records.c.started_at < before, usage_records.c.status_code.is_not(None))
