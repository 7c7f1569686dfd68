"""Corrections of the rollup by records of a day that is over: rollup.py says what the rollup is.

Two rules keep the sums of a day equal to its records. A transaction that stores or ends a record of a day
that is over adds 1 to `late` in the day's row of `rollups`, and corrects the day's sums if they are built.
A process that builds a day (usage_days.py) reads that row before the records, and stores the sums only if the
row has not changed since.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from sqlalchemy import Connection, Insert, Row, bindparam, insert, select, update
from sqlalchemy.dialects import mysql, sqlite

from app.state.sql.quota_period import DAY_MS
from app.state.sql.rollup import Counts
from app.state.sql.tables import EVERYBODY, rollups, usage_days

MIDNIGHT_MARGIN_MS = 60_000
"""A day counts as over this long before midnight for those who store its records: longer than a transaction
takes and than clocks differ, so that no builder of the day misses a record.
"""

_THIS_DAY = usage_days.c.day == bindparam("this_day")
_STATE = select(rollups).where(rollups.c.day == bindparam("this_day")).with_for_update()
_SUMS = (
    select(usage_days.c.by_code, usage_days.c.characters, usage_days.c.times)
    .where(usage_days.c.user_id == bindparam("this_user"), _THIS_DAY)
    .with_for_update()
)
_CORRECT = update(usage_days).where(usage_days.c.user_id == bindparam("this_user"), _THIS_DAY)


class Ended(NamedTuple):
    """What the rollup sums up of a usage record. status_code None: it still runs, and does not count."""

    user_id: int
    started_at: int
    status_code: int | None
    character_count: int | None
    total_ms: int | None

    @classmethod
    def of(cls, record: Any) -> Ended:
        """record: anything with these attributes."""
        return cls(*(getattr(record, name) for name in cls._fields))


class LateRecords:
    """The changes of one transaction to records of days that are over.

    now_ms: since 1970. Records of the current day are ignored at no cost; None ignores no record.
    """

    def __init__(self, now_ms: int | None) -> None:
        self._today = None if now_ms is None else (now_ms + MIDNIGHT_MARGIN_MS) // DAY_MS
        self._changes: dict[int, dict[int, Counts]] = defaultdict(lambda: defaultdict(Counts))

    def enter(self, before: Ended | None, after: Ended) -> None:
        """A record as it was, None if it did not exist, and as it is now."""
        for record, times in ((before, -1), (after, 1)):
            if record is None or record.status_code is None:
                continue
            day = record.started_at // DAY_MS
            if self._today is not None and day >= self._today:
                continue
            change = Counts.of_request(record.status_code, record.character_count, record.total_ms)
            for user_id in (EVERYBODY, record.user_id):
                self._changes[day][user_id].add(change, times)

    def write(self, connection: Connection) -> None:
        """Call it after the records are written. Locks in the order of days and users, so no two writers
        block each other.
        """
        for day, changes in sorted(self._changes.items()):
            if locked_day(connection, day, late=1).built:
                for user_id, change in sorted(changes.items()):
                    _correct(connection, user_id, day, change)


def locked_day(connection: Connection, day: int, *, late: int) -> Row[Any]:
    """The day's row of `rollups`, created if necessary, and locked until the transaction ends.

    late: how many transactions with late records to add to the row.
    """
    row = {"day": day, "built": False, "late": late}
    connection.execute(_add_late(connection.dialect.name), row)
    return connection.execute(_STATE, {"this_day": day}).one()


def _add_late(dialect: str) -> Insert:
    if dialect == "mysql":
        inserting = mysql.insert(rollups)
        return inserting.on_duplicate_key_update(late=rollups.c.late + inserting.inserted.late)
    embedded = sqlite.insert(rollups)
    return embedded.on_conflict_do_update(
        index_elements=["day"], set_={"late": rollups.c.late + embedded.excluded.late}
    )


def _correct(connection: Connection, user_id: int, day: int, change: Counts) -> None:
    this = {"this_user": user_id, "this_day": day}
    found = connection.execute(_SUMS, this).one_or_none()
    if found is None:
        connection.execute(insert(usage_days), {"user_id": user_id, "day": day} | change.columns())
        return
    counts = Counts.from_columns(*found)
    counts.add(change)
    connection.execute(_CORRECT, this | counts.columns())
