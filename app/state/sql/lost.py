"""Records that were lost with their worker: they run longer than any request may take."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, select, update

from app.errors import OcrFailed
from app.state.sql.quota import charge
from app.state.sql.tables import usage_records
from app.state.sql.usage_days import Ended, LateRecords

_LOST = and_(usage_records.c.status_code.is_(None), usage_records.c.started_at < bindparam("begun_before"))
_OWNERS = select(usage_records.c.user_id).where(_LOST).distinct()
# Plus nothing, so that SQLite looks through the few that run, and not through all records of the user.
_OF_ONE = select(usage_records).where(_LOST, usage_records.c.user_id + 0 == bindparam("user_id"))
_CLOSE = update(usage_records).where(usage_records.c.request_id == bindparam("this"), _LOST)


def owners_of_lost(connection: Connection, *, begun_before: int) -> Sequence[int]:
    """Their ids. begun_before: ms since 1970; what began before and still runs was lost."""
    return connection.scalars(_OWNERS, {"begun_before": begun_before}).all()


def close_lost(connection: Connection, user_id: int, *, begun_before: int, now_ms: int) -> int:
    """Close a user's with code 5, and give their quota back; how many there were.

    finished_at stays NULL: nobody has reported, so a late report still counts. They are looked for without a
    lock, so as not to wait for those who end other records of this user.
    """
    lost = {"begun_before": begun_before}
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
