"""The rollup of finished days: built once from the records of a day, then corrected by each late record.

Two rules keep it equal to the records. Who stores or ends a record of a day that is over counts that in the
day's row of `rollups`, in the same transaction, and if the day is built corrects its sums there as well. Who
builds a day reads that row before the records, and stores the sums only if the row is still the same. A built
day is never built again, since its records may be deleted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    and_,
    bindparam,
    case,
    func,
    insert,
    null,
    select,
    update,
)
from sqlalchemy.dialects import mysql, sqlite

from app.errors import DependencyUnavailable
from app.model.usage import RECOGNISED
from app.state.sql.database import Database
from app.state.sql.quota import DAY_MS
from app.state.sql.rollup import LONGEST_BITS, PRECISION_BITS, Counts
from app.state.sql.tables import EVERYBODY, rollups, usage_days, usage_records

MIDNIGHT_MARGIN_MS = 60_000
"""How long before midnight a day is treated as over by those who store its records: longer than a transaction
takes and than clocks differ, so that nobody who builds the day overlooks them.
"""

SETTLED_AFTER_MS = 600_000
"""How long after midnight reports and upgrades build a day: longer than any request takes. Most records that
cross midnight are there by then, those of an earlier release, which corrects no sums, as well.
"""

TRIES = 3
"""Builds of a day before the one that makes late records wait for it."""

USERS_AT_ONCE = 20
"""Users whose records one statement sums up: on MySQL its rows, hundreds a user, are read on the loop."""

_began, _code = usage_records.c.started_at, usage_records.c.status_code
_ms = usage_records.c.total_ms
_WIDTHS = range(LONGEST_BITS - PRECISION_BITS + 1)
_BUCKET = case(*((_ms < 1 << width + PRECISION_BITS, _ms - _ms % (1 << width)) for width in _WIDTHS))
"""As rollup.bucket."""
_TIME = case((_code == RECOGNISED, _BUCKET), else_=null())
_THIS_DAY = usage_days.c.day == bindparam("this_day")
_STATE = select(rollups).where(rollups.c.day == bindparam("this_day")).with_for_update()
_SUMS = (
    select(usage_days.c.by_code, usage_days.c.characters, usage_days.c.times)
    .where(usage_days.c.user_id == bindparam("this_user"), _THIS_DAY)
    .with_for_update()
)
_CORRECT = update(usage_days).where(usage_days.c.user_id == bindparam("this_user"), _THIS_DAY)
_DONE = (
    update(rollups)
    .where(rollups.c.day == bindparam("this_day"), rollups.c.late == bindparam("seen"), ~rollups.c.built)
    .values(built=True)
)


class Ended(NamedTuple):
    """What counts of a usage record; status_code None: it runs, and counts nowhere yet."""

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
    """What the records stored in one transaction change about days that are over.

    now_ms: since 1970. Records of the day that goes on are passed over, which costs them nothing; None passes
    over none.
    """

    def __init__(self, now_ms: int | None) -> None:
        self._today = None if now_ms is None else (now_ms + MIDNIGHT_MARGIN_MS) // DAY_MS
        self._changes: dict[int, dict[int, Counts]] = defaultdict(lambda: defaultdict(Counts))

    def enter(self, before: Ended | None, after: Ended) -> None:
        """A record as it was, None if it was not there, and as it is now."""
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
        """After the records. All take these locks in the order of days and users, so none blocks another."""
        for day, changes in sorted(self._changes.items()):
            if _locked(connection, day, late=1).built:
                for user_id, change in sorted(changes.items()):
                    _correct(connection, user_id, day, change)


def _locked(connection: Connection, day: int, *, late: int) -> Row[Any]:
    """The day's row, made if need be, which nobody else can change until this transaction ends."""
    row = {"day": day, "built": False, "late": late}
    connection.execute(_counting_late(connection.dialect.name), row)
    return connection.execute(_STATE, {"this_day": day}).one()


def _counting_late(dialect: str) -> Insert:
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


def settled(now_ms: int) -> int:
    """The first day, numbered since 1970, that is too young to be built."""
    return (now_ms - SETTLED_AFTER_MS) // DAY_MS


def build_missing(database: Database, first: int, end: int) -> None:
    """Build the days from first on and before end that have records and are not built yet, oldest first.

    Days are numbered since 1970, and must be over. Each is committed by itself, so that work that is cut
    short is not lost. Raises DependencyUnavailable.
    """
    for day in _missing(database, first, end):
        build(database, day)


def build_some(database: Database, first: int, end: int, *, at_most: int) -> None:
    """As build_missing, for a caller who waits and can do without: what fails, or would make late records
    wait, is left for later.
    """
    with suppress(DependencyUnavailable):
        for day in islice(_missing(database, first, end), at_most):
            build(database, day, insist=False)


def _missing(database: Database, first: int, end: int) -> Iterator[int]:
    with database.read() as connection:
        known = built_days(connection, first, end)
    day = first
    while day < end:
        if day in known:
            day += 1
            continue
        oldest = select(func.min(_began)).where(_began >= day * DAY_MS, _began < end * DAY_MS)
        with database.read() as connection:
            found = connection.scalar(oldest)
        if found is None:
            return
        day = found // DAY_MS
        if day not in known:
            yield day
        day += 1


def built_days(connection: Connection, first: int, end: int) -> frozenset[int]:
    return frozenset(day for day, _ in built_versions(connection, first, end))


def built_versions(connection: Connection, first: int, end: int) -> Iterator[tuple[int, int]]:
    """The built days, each with a number that grows with every correction of its sums."""
    within = rollups.c.day >= first, rollups.c.day < end, rollups.c.built
    for built in connection.execute(select(rollups.c.day, rollups.c.late).where(*within)):
        yield built.day, built.late


def build(database: Database, day: int, *, insist: bool = True) -> None:
    """Any number of processes may do so at once: the first to finish counts. Raises DependencyUnavailable.

    insist: where late records have made TRIES builds void, make them wait for one more.
    """
    for _ in range(TRIES):
        with database.write() as connection:
            seen = _locked(connection, day, late=0)
        if seen.built:
            return
        with database.read() as connection:
            sums = _summed(connection, day)
        with database.write() as connection:
            if _store(connection, day, seen.late, sums):
                return
    if not insist:
        return
    with database.write() as connection:
        seen = _locked(connection, day, late=0)
        _store(connection, day, seen.late, _summed(connection, day))


def _store(connection: Connection, day: int, seen: int, sums: Mapping[int, Counts]) -> bool:
    """False if another has built it, or a record came late since."""
    if connection.execute(_DONE, {"this_day": day, "seen": seen}).rowcount == 0:
        return False
    rows = [{"user_id": user_id, "day": day} | counts.columns() for user_id, counts in sorted(sums.items())]
    for at in range(0, len(rows), USERS_AT_ONCE):
        connection.execute(insert(usage_days), rows[at : at + USERS_AT_ONCE])
    return True


def _summed(connection: Connection, day: int) -> dict[int, Counts]:
    within = and_(_began >= day * DAY_MS, _began < (day + 1) * DAY_MS)
    users = connection.scalars(select(usage_records.c.user_id).where(within).distinct()).all()
    sums: dict[int, Counts] = {EVERYBODY: Counts()}
    for at in range(0, len(users), USERS_AT_ONCE):
        some = begun_by(*users[at : at + USERS_AT_ONCE])
        for user_id, counts in sums_by(connection, usage_records.c.user_id, within, some).items():
            sums[user_id] = counts
            sums[EVERYBODY].add(counts)
    return sums


def begun_by(*user_ids: int) -> ColumnElement[bool]:
    """Their records, by index also where days are given. For one user alone MariaDB would look through all of
    its records, so there are always two: nobody's id is EVERYBODY.
    """
    return usage_records.c.user_id.in_([EVERYBODY, *user_ids])


def sums_by(
    connection: Connection, key: ColumnElement[int], *within: ColumnElement[bool]
) -> dict[int, Counts]:
    """What the records within add up to, for each value of the key."""
    characters = func.coalesce(usage_records.c.character_count, 0)
    ended = (
        select(key.label("key"), _code.label("code"), _TIME.label("time"), characters.label("characters"))
        .where(*within, _code.is_not(None))
        .subquery()
    )
    alike = ended.c.key, ended.c.code, ended.c.time
    query = select(*alike, func.count(), func.sum(ended.c.characters)).group_by(*alike)
    found: dict[int, Counts] = defaultdict(Counts)
    for value, code, bucket, requests, read in connection.execute(query):
        found[int(value)].enter(code, requests, int(read), bucket)
    return found
