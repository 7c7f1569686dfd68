"""Builds the rollup of finished days, once for each day, from the day's records.

late_records.py has the rules that keep it equal to the records. A built day is never built again, since its
records may be deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice

from sqlalchemy import Connection, and_, bindparam, func, insert, select, update

from app.errors import DependencyUnavailable
from app.state.sql.database import Database
from app.state.sql.late_records import locked_day
from app.state.sql.quota_period import DAY_MS
from app.state.sql.record_sums import started_by, sums_by
from app.state.sql.rollup import Counts
from app.state.sql.tables import EVERYBODY, rollups, usage_days, usage_records

SETTLED_AFTER_MS = 600_000
"""How long after midnight reports and upgrades build a day: longer than any request takes. By then most
records that cross midnight are stored, also those of an earlier release, which does not correct sums.
"""

TRIES = 3
"""Builds of a day that late records may make void; the next build makes late records wait."""

USERS_AT_ONCE = 20
"""Users whose records one statement sums up: a worker's loop reads its rows, hundreds for each user."""

_started = usage_records.c.started_at
_DONE = (
    update(rollups)
    .where(rollups.c.day == bindparam("this_day"), rollups.c.late == bindparam("seen"), ~rollups.c.built)
    .values(built=True)
)


def settled(now_ms: int) -> int:
    """The first day, numbered since 1970, that is too recent to be built."""
    return (now_ms - SETTLED_AFTER_MS) // DAY_MS


def build_missing(database: Database, first: int, end: int) -> None:
    """Build the days from first to before end that have records and are not built yet, oldest first.

    Days are numbered since 1970, and must be over. Each day is committed by itself, so an interruption loses
    no finished day. Raises DependencyUnavailable.
    """
    for day in _missing(database, first, end):
        build(database, day)


def build_some(database: Database, first: int, end: int, *, at_most: int) -> None:
    """As build_missing, while a caller waits who does not depend on it: stops at the first failure, and
    leaves out days whose late records would have to wait.
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
        oldest = select(func.min(_started)).where(_started >= day * DAY_MS, _started < end * DAY_MS)
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
    """Any number of processes may build a day at once: the first to finish counts.

    insist: after TRIES builds that late records made void, make late records wait for one more.
    Raises DependencyUnavailable.
    """
    for _ in range(TRIES):
        with database.write() as connection:
            seen = locked_day(connection, day, late=0)
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
        seen = locked_day(connection, day, late=0)
        _store(connection, day, seen.late, _summed(connection, day))


def _store(connection: Connection, day: int, seen: int, sums: Mapping[int, Counts]) -> bool:
    """False if another process has built the day, or a late record was stored meanwhile."""
    if connection.execute(_DONE, {"this_day": day, "seen": seen}).rowcount == 0:
        return False
    rows = [{"user_id": user_id, "day": day} | counts.columns() for user_id, counts in sorted(sums.items())]
    for at in range(0, len(rows), USERS_AT_ONCE):
        connection.execute(insert(usage_days), rows[at : at + USERS_AT_ONCE])
    return True


def _summed(connection: Connection, day: int) -> dict[int, Counts]:
    """The sums of the day's records, by user and for EVERYBODY."""
    within = and_(_started >= day * DAY_MS, _started < (day + 1) * DAY_MS)
    users = connection.scalars(select(usage_records.c.user_id).where(within).distinct()).all()
    sums: dict[int, Counts] = {EVERYBODY: Counts()}
    for at in range(0, len(users), USERS_AT_ONCE):
        some = started_by(*users[at : at + USERS_AT_ONCE])
        for user_id, counts in sums_by(connection, usage_records.c.user_id, within, some).items():
            sums[user_id] = counts
            sums[EVERYBODY].add(counts)
    return sums
