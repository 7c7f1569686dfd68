"""Reports of usage by day: from the rollup for days that are built, from the records for other days."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, select

from app.model.usage import RECOGNISED, UsageFigures, UsageReport, UserQuota, UserUsage
from app.ports import Clock
from app.state.sql.database import Database
from app.state.sql.quota_period import DAY_MS
from app.state.sql.record_sums import started_by, sums_by
from app.state.sql.rollup import Counts
from app.state.sql.tables import EVERYBODY, usage_days, usage_records
from app.state.sql.usage_days import build_missing, build_some, built_days, built_versions, settled
from app.state.sql.users import UserDirectory, quota_of

BUILT_AT_ONCE = 7
"""Days that one report builds at most while its caller waits; the next reports build the others."""

SUMMED_AT_ONCE = 250
"""Users whose days or records one statement sums up, each by a range of the index. For a list of a thousand
MariaDB would make a temporary table and read all users' days, and its rows would stop the loop for a few ms.
"""

_EPOCH = date(1970, 1, 1)
_started = usage_records.c.started_at
_code = usage_records.c.status_code
_RECORDS = (
    select(
        usage_records.c.user_id,
        func.count(),
        func.sum(case((_code == RECOGNISED, 1), else_=0)),
        func.coalesce(func.sum(usage_records.c.character_count), 0),
    )
    .where(_code.is_not(None))
    .group_by(usage_records.c.user_id)
)
_ROLLED_UP = select(
    usage_days.c.user_id,
    func.sum(usage_days.c.requests),
    func.sum(usage_days.c.pictures),
    func.sum(usage_days.c.characters),
).group_by(usage_days.c.user_id)


class UsageReports:
    """Reports from one database. Every method raises DependencyUnavailable."""

    def __init__(self, database: Database, directory: UserDirectory, clock: Clock) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock
        self._sums = SumsByUser(database)

    def report(self, user_id: int | None, first: date, last: date) -> UsageReport:
        """Of one user or of everybody (None); first, last: days of UTC, both included."""
        now_ms = int(self._clock.now() * 1000)
        return report(
            self._database,
            first=first,
            last=last,
            now_ms=now_ms,
            user_id=user_id,
            build_at_most=BUILT_AT_ONCE,
        )

    def usage_of_all(self, first: date, last: date) -> tuple[UserUsage, ...]:
        """Of every user, sorted by recognised pictures, the most first; days as in report."""
        listed = self._directory.list()
        used = self._sums.read(sorted(user.id for user in listed), first=first, last=last)
        everybody = [
            UserUsage(user.username, user.enabled, quota_of(user), *used.get(user.id, _NONE))
            for user in listed
        ]
        return tuple(sorted(everybody, key=lambda user: (-user.pictures, -user.requests, user.username)))

    def quota(self, username: str) -> UserQuota:
        """Raises UnknownUser."""
        return self._directory.quota(username)

    def is_admin(self, username: str) -> bool:
        return self._directory.is_admin(username)


def report(
    database: Database,
    *,
    first: date,
    last: date,
    now_ms: int,
    user_id: int | None = None,
    build_at_most: int | None = None,
) -> UsageReport:
    """first, last: days of UTC, both included; a request belongs to the day on which it started.

    user_id: None for everybody. build_at_most: missing days of the rollup that the report builds, if that
    works at once; None builds all of them. Others are summed up from records. Raises DependencyUnavailable.
    """
    since, until = _number(first), _number(last) + 1
    buildable = min(until, settled(now_ms))
    if build_at_most is None:
        build_missing(database, since, buildable)
    else:
        build_some(database, since, buildable, at_most=build_at_most)
    whose = () if user_id is None else (started_by(user_id),)
    with database.read() as connection:
        built = built_days(connection, since, until)
        days = _rolled_up(connection, user_id or EVERYBODY, built)
        for within in _unbuilt(since, until, built):
            days |= sums_by(connection, _started // DAY_MS, within, *whose)
    total = Counts()
    for counts in days.values():
        total.add(counts)
    return UsageReport(first, last, total.figures(None), tuple(_figures(days)))


Sums = tuple[int, int, int]
"""Requests that have ended, pictures recognised, characters."""

_NONE: Sums = (0, 0, 0)


class SumsByUser:
    """The sums of each user's days. Caches the sums of the finished days of the last call, until another call
    asks for other users or days, or one of the days has changed: its row in `rollups` changes in the same
    transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cached: tuple[frozenset[tuple[int, int]], tuple[int, ...]] = frozenset(), ()
        self._finished: dict[int, Sums] = {}

    def read(self, ids: Sequence[int], *, first: date, last: date) -> dict[int, Sums]:
        """By user id, for those of these users who have any requests. ids: in ascending order.

        first, last: as in report. Raises DependencyUnavailable.
        """
        since, until = _number(first), _number(last) + 1
        with self._database.read() as connection:
            days = frozenset(built_versions(connection, since, until))
            built = {day for day, _ in days}
            finished = self._finished
            if (days, tuple(ids)) != self._cached:
                by_day = [_ROLLED_UP.where(*_in_days(built))] if built else []
                finished = _summed(connection, by_day, usage_days.c.user_id.in_, ids, {})
                self._finished, self._cached = finished, (days, tuple(ids))
            records = [_RECORDS.where(within) for within in _unbuilt(since, until, built)]
            return _summed(connection, records, lambda chunk: started_by(*chunk), ids, finished)


def _summed(
    connection: Connection,
    queries: Sequence[Select[Any]],
    of_users: Callable[[Sequence[int]], ColumnElement[bool]],
    ids: Sequence[int],
    before: Mapping[int, Sums],
) -> dict[int, Sums]:
    """The sums that the queries find for these users, added to those before."""
    found = dict(before)
    for query in queries:
        for at in range(0, len(ids), SUMMED_AT_ONCE):
            theirs = of_users(ids[at : at + SUMMED_AT_ONCE])
            for user, *more in connection.execute(query.where(theirs)):
                found[user] = _plus(found.get(user, _NONE), more)
    return found


def _plus(sums: Sums, more: Sequence[Any]) -> Sums:
    """more: numbers of a row; MySQL returns decimals."""
    return sums[0] + int(more[0]), sums[1] + int(more[1]), sums[2] + int(more[2])


def _rolled_up(connection: Connection, user_id: int, built: Collection[int]) -> dict[int, Counts]:
    if not built:
        return {}
    query = select(usage_days.c.day, usage_days.c.by_code, usage_days.c.characters, usage_days.c.times)
    rows = connection.execute(query.where(usage_days.c.user_id == user_id, *_in_days(built)))
    return {day: Counts.from_columns(*sums) for day, *sums in rows}


def _in_days(built: Collection[int]) -> Iterator[ColumnElement[bool]]:
    """One range of an index. Days built after `built` was read are left out: they are summed from records."""
    first, last = min(built), max(built)
    yield usage_days.c.day.between(first, last)
    if others := set(range(first, last)) - set(built):
        yield usage_days.c.day.not_in(others)


def _unbuilt(since: int, until: int, built: Collection[int]) -> Iterator[ColumnElement[bool]]:
    """Conditions for records of the other days, one for each run of days."""
    begin = since
    for day in (*sorted(built), until):
        if begin < day:
            yield and_(_started >= begin * DAY_MS, _started < day * DAY_MS)
        begin = day + 1


def _figures(days: dict[int, Counts]) -> Iterator[UsageFigures]:
    for number in sorted(days):
        figures = days[number].figures(_EPOCH + timedelta(days=number))
        if figures.requests:
            yield figures


def _number(day: date) -> int:
    return (day - _EPOCH).days
