"""Stores usage records that started and ended elsewhere: each once, even if repeated or out of order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import DataError, IntegrityError, StatementError

from app.state.sql.late_records import Ended, LateRecords
from app.state.sql.ledger import QuotaLedger
from app.state.sql.quota import locked_balances, write_balances
from app.state.sql.tables import usage_records
from app.state.sql.upsert import upsert_records
from app.state.sql.usage_row import InvalidRow, UsageRow, parsed

_COMPARED = ("request_id", "finished_at", "charged", *Ended._fields)


@dataclass(frozen=True, slots=True)
class Stored:
    """refused: reasons of the rows that cannot be stored, now or later, by their position.

    charged: ids of the requests whose charge is new with this call.
    """

    refused: Mapping[int, str]
    charged: frozenset[str]


def store(connection: Connection, rows: Sequence[Mapping[str, Any]], *, now_ms: int | None = None) -> Stored:
    """Store rows, given by UsageRow's fields, in the caller's transaction; quota_used and the rollup follow.

    now_ms: since 1970. With it, records of the current day, which has no rollup yet, are stored faster.
    Idempotent by request_id: a record only moves forward, from running to finished, and its first end counts.
    A database that is down raises: through Database.write that is DependencyUnavailable.
    """
    good: dict[int, UsageRow] = {}
    refused: dict[int, str] = {}
    for position, row in enumerate(rows):
        try:
            good[position] = parsed(row)
        except InvalidRow as error:
            refused[position] = str(error)
    charged, refusal = _attempt(connection, good.values(), now_ms)
    if refusal:  # of at least one row: find out which
        for position, single in good.items():
            newly_charged, refusal = _attempt(connection, [single], now_ms)
            charged |= newly_charged
            if refusal:
                refused[position] = refusal
    return Stored(refused, frozenset(charged))


def _attempt(connection: Connection, rows: Iterable[UsageRow], now_ms: int | None) -> tuple[set[str], str]:
    """The ids of newly charged requests; or why the database refuses the rows, and none of them is stored."""
    try:
        with connection.begin_nested():
            return _store(connection, _furthest(rows), now_ms), ""
    except StatementError as error:
        if type(error) is StatementError or isinstance(error, DataError | IntegrityError):
            return set(), str(error.orig)
        raise


def _furthest(rows: Iterable[UsageRow]) -> list[UsageRow]:
    """One row for each request: its first end if it has ended. Sorted as all writers lock rows."""
    furthest: dict[str, UsageRow] = {}
    for row in rows:
        seen = furthest.get(row.request_id)
        if seen is None or (row.finished and not seen.finished):
            furthest[row.request_id] = row
    return sorted(furthest.values(), key=lambda row: (row.user_id, row.request_id))


def _store(connection: Connection, rows: list[UsageRow], now_ms: int | None) -> set[str]:
    """The ids of newly charged requests."""
    ledger, late = QuotaLedger(locked_balances(connection, _newest(rows))), LateRecords(now_ms)
    known = _locked_records(connection, rows)
    changes = [_Change(known.get(row.request_id), row) for row in rows]
    forward = [change for change in changes if change.forward]
    for change in forward:
        ledger.enter(change.after.user_id, change.after.started_at, change.charge)
        before = None if change.before is None else Ended.of(change.before)
        late.enter(before, Ended.of(change.after))
    if forward:
        values = [change.after.values() for change in forward]
        connection.execute(upsert_records(connection.dialect.name), values)
    write_balances(connection, ledger.balances)
    late.write(connection)
    return {change.after.request_id for change in forward if change.charge > 0}


@dataclass(frozen=True, slots=True)
class _Change:
    before: Row[Any] | None
    after: UsageRow

    @property
    def forward(self) -> bool:
        return self.before is None or (self.before.finished_at is None and self.after.finished)

    @property
    def charge(self) -> int:
        return int(self.after.charged) - int(self.before is not None and self.before.charged)


def _newest(rows: Iterable[UsageRow]) -> dict[int, int]:
    """When the newest row of each user started."""
    newest: dict[int, int] = {}
    for row in rows:
        newest[row.user_id] = max(row.started_at, newest.get(row.user_id, 0))
    return newest


def _locked_records(connection: Connection, rows: Iterable[UsageRow]) -> dict[str, Row[Any]]:
    query = select(*(usage_records.c[name] for name in _COMPARED))
    these = usage_records.c.request_id.in_([row.request_id for row in rows])
    return {row.request_id: row for row in connection.execute(query.where(these).with_for_update())}
