"""The statement that stores usage records which may be in the database already."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Insert, and_, case
from sqlalchemy.dialects import mysql, sqlite

from app.state.sql.tables import usage_records

_OLD = usage_records.c


def upsert_records(dialect: str) -> Insert:
    """Insert each row, or replace a row that is not finished by one that is.

    The caller has locked the rows that exist and left out what is older; two callers who insert the same new
    row at once had no row to lock, so the statement compares again.
    """
    names = [column.name for column in _OLD if column.name not in ("request_id", "finished_at")]
    names.append("finished_at")  # last: MySQL assigns in this order, and the other columns depend on it
    if dialect == "mysql":
        inserting = mysql.insert(usage_records)
        new = inserting.inserted
        forward = _forward(new.finished_at)
        changes = [(name, case((forward, new[name]), else_=_OLD[name])) for name in names]
        return inserting.on_duplicate_key_update(changes)
    embedded = sqlite.insert(usage_records)
    return embedded.on_conflict_do_update(
        index_elements=["request_id"],
        set_={name: embedded.excluded[name] for name in names},
        where=_forward(embedded.excluded.finished_at),
    )


def _forward(finished_at: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(_OLD.finished_at.is_(None), finished_at.is_not(None))
