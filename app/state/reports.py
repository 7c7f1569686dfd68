"""What was used, per day: counted by the database, from the records that have ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, select

from app.model import RECOGNISED, UsageFigures, UsageReport
from app.state.database import Database
from app.state.quota import DAY_MS
from app.state.tables import usage_records, users

_ALL = 0  # stands for the whole time, where days are numbered since 1970
_EPOCH = date(1970, 1, 1)


@dataclass(slots=True)
class _Counts:
    """Of one day."""

    by_code: dict[int, int] = field(default_factory=dict)
    characters: int = 0
    p50_ms: int | None = None
    p95_ms: int | None = None

    def figures(self, day: date | None) -> UsageFigures:
        codes = dict(sorted(self.by_code.items()))
        pictures = codes.get(RECOGNISED, 0)
        return UsageFigures(
            day, sum(codes.values()), codes, pictures, self.characters, self.p50_ms, self.p95_ms
        )


def report(database: Database, *, first: date, last: date, user_id: int | None = None) -> UsageReport:
    """first, last: days of UTC, both included; a request belongs to the day in which it was begun.

    user_id: None is everybody. Raises DependencyUnavailable.
    """
    begun = usage_records.c.started_at
    within = [begun >= _ms(first), begun < _ms(last + timedelta(days=1))]
    if user_id is not None:
        within.append(usage_records.c.user_id == user_id)
    day = begun // DAY_MS
    days: dict[int, _Counts] = {}
    with database.read() as connection:
        _count(connection, day, within, days)
        _measure(connection, day, within, days)
        total = _total(days.values())
        _measure(connection, literal(_ALL), within, {_ALL: total})
    figures = tuple(days[number].figures(_EPOCH + timedelta(days=number)) for number in sorted(days))
    return UsageReport(first, last, total.figures(None), figures)


def by_user(database: Database, *, first: date, last: date) -> dict[str, tuple[int, int, int]]:
    """Of each user with any: requests that have ended, pictures recognised, characters; days as in report."""
    code, characters = usage_records.c.status_code, usage_records.c.character_count
    begun = usage_records.c.started_at
    within = (begun >= _ms(first), begun < _ms(last + timedelta(days=1)), code.is_not(None))
    pictures = func.sum(case((code == RECOGNISED, 1), else_=0))
    query = (
        select(users.c.username, func.count(), pictures, func.coalesce(func.sum(characters), 0))
        .join(users, users.c.id == usage_records.c.user_id)
        .where(*within)
        .group_by(users.c.username)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    return {name: (int(requests), int(good), int(read)) for name, requests, good, read in rows}


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _count(
    connection: Connection,
    day: ColumnElement[int],
    within: Iterable[ColumnElement[bool]],
    days: dict[int, _Counts],
) -> None:
    numbered, code = day.label("day"), usage_records.c.status_code
    characters = func.coalesce(func.sum(usage_records.c.character_count), 0)
    query = select(numbered, code, func.count(), characters).where(*within, code.is_not(None))
    for number, status_code, requests, read in connection.execute(query.group_by(numbered, code)):
        counts = days.setdefault(int(number), _Counts())
        counts.by_code[status_code] = requests
        counts.characters += int(read)


def _measure(
    connection: Connection,
    day: ColumnElement[int],
    within: Iterable[ColumnElement[bool]],
    days: dict[int, _Counts],
) -> None:
    """The least time that is no shorter than that of 50 and of 95 % of the pictures read."""
    read = and_(*within, usage_records.c.status_code == RECOGNISED, usage_records.c.total_ms.is_not(None))
    times = select(day.label("day"), usage_records.c.total_ms).where(read).subquery()
    ranked = select(
        times.c.day,
        times.c.total_ms,
        func.row_number().over(partition_by=times.c.day, order_by=times.c.total_ms).label("place"),
        func.count().over(partition_by=times.c.day).label("of"),
    ).subquery()

    def percentile(percent: int) -> ColumnElement[int]:
        return func.min(case((ranked.c.place * 100 >= ranked.c.of * percent, ranked.c.total_ms)))

    query = select(ranked.c.day, percentile(50), percentile(95)).group_by(ranked.c.day)
    for number, p50_ms, p95_ms in connection.execute(query):
        days[int(number)].p50_ms, days[int(number)].p95_ms = p50_ms, p95_ms


def _total(days: Iterable[_Counts]) -> _Counts:
    total = _Counts()
    for counts in days:
        total.characters += counts.characters
        for code, requests in counts.by_code.items():
            total.by_code[code] = total.by_code.get(code, 0) + requests
    return total
