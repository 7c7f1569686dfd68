"""The end of a request's usage record, in the one transaction that SqlStore.finish begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from app.model.usage import UsageRecord
from app.state.sql.late_records import Ended, LateRecords
from app.state.sql.quota import charge
from app.state.sql.tables import usage_records, users

_THIS = usage_records.c.request_id == bindparam("this")
_OWNER = select(usage_records.c.user_id).where(_THIS).scalar_subquery()
_LOCK_OWNER = select(users.c.id).where(users.c.id == _OWNER).with_for_update()
_RUNNING = select(usage_records).where(_THIS).with_for_update()
_END = update(usage_records).where(_THIS)


def end_record(connection: Connection, record: UsageRecord, columns: Mapping[str, Any], now_ms: int) -> None:
    """Finish the record unless it is finished; quota_used and the rollup follow. Locks the user first.

    columns: those of the row that follow from the record. Raises LookupError if there is no such record.
    """
    this = {"this": record.request_id}
    connection.execute(_LOCK_OWNER, this)
    running = connection.execute(_RUNNING, this).one_or_none()
    if running is None:
        raise LookupError(f"admission began no usage record for {record.request_id}")
    if running.finished_at is not None:
        return
    end = {**columns, "charged": record.charged, "finished_at": now_ms}
    connection.execute(_END, this | end)
    charge(connection, running.user_id, int(record.charged) - int(running.charged), running.started_at)
    ended = Ended(
        running.user_id, running.started_at, record.status_code, record.characters, record.elapsed.total
    )
    late = LateRecords(now_ms)
    late.enter(Ended.of(running), ended)
    late.write(connection)
