"""Records that were lost with their worker: they run longer than any request may take."""

from __future__ import annotations

from sqlalchemy import Connection, and_, bindparam, select, update

from app.errors import OcrFailed
from app.state.sql.admission import lock_user
from app.state.sql.database import Database
from app.state.sql.late_records import Ended, LateRecords
from app.state.sql.quota import charge
from app.state.sql.tables import usage_records

_LOST = and_(usage_records.c.status_code.is_(None), usage_records.c.started_at < bindparam("started_before"))
_OWNERS = select(usage_records.c.user_id).where(_LOST).distinct()
# `+ 0` makes SQLite use the index of the few running records instead of that of all records of the user.
_OF_ONE = select(usage_records).where(_LOST, usage_records.c.user_id + 0 == bindparam("user_id"))
_CLOSE = update(usage_records).where(usage_records.c.request_id == bindparam("this"), _LOST)


def close_all_lost(database: Database, *, started_before: int, now_ms: int) -> int:
    """Close the lost records of all users, one transaction for each user. Returns their number.

    started_before: ms since 1970; a record that started earlier and still runs was lost.
    Raises DependencyUnavailable.
    """
    with database.read() as connection:
        owners = connection.scalars(_OWNERS, {"started_before": started_before}).all()
    closed = 0
    for user_id in owners:
        with database.write() as connection:
            lock_user(connection, user_id)
            closed += close_lost(connection, user_id, started_before=started_before, now_ms=now_ms)
    return closed


def close_lost(connection: Connection, user_id: int, *, started_before: int, now_ms: int) -> int:
    """Close a user's lost records with code 5, and take their charges back. Returns their number.

    finished_at stays NULL: if the worker was only slow, its own report still counts. The search takes no
    locks, so it does not wait for transactions that end other records of this user.
    """
    lost = {"started_before": started_before}
    late = LateRecords(now_ms)
    closed = 0
    for record in connection.execute(_OF_ONE, lost | {"user_id": user_id}).all():
        end = {"this": record.request_id, "status_code": OcrFailed.status_code, "charged": False}
        if connection.execute(_CLOSE, lost | end).rowcount:
            charge(connection, user_id, -1, record.started_at)
            late.enter(None, Ended.of(record)._replace(status_code=OcrFailed.status_code))
            closed += 1
    late.write(connection)
    return closed
