"""Usage records as rows, and how rows that were begun and finished elsewhere are stored: once each, whatever
comes twice or in the wrong order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import Connection, Insert, and_, case, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, StatementError

from app.model.account import USERNAME
from app.model.usage import RECOGNISED, KeepText, UsageRecord
from app.state.sql.quota import counted
from app.state.sql.tables import usage_records, users
from app.state.sql.usage_days import Ended, LateRecords

Count = Annotated[int, Field(ge=0, lt=2**31)]
Moment = Annotated[int, Field(ge=0, lt=2**63)]


class UsageRow(BaseModel):
    """A row of usage_records, as begun (neither finished_at nor status_code), as finished (both), or as
    lost with its worker (status_code alone: it still may be finished).

    `charged` follows from the rest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    request_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    user_id: Count
    username: Annotated[str, Field(pattern=f"^{USERNAME}$")]
    started_at: Moment
    finished_at: Moment | None = None
    status_code: Count | None = None
    picture_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    picture_width: Count | None = None
    picture_height: Count | None = None
    picture_format: Annotated[str, Field(pattern="^[ -~]{1,16}$")] | None = None
    line_count: Count | None = None
    character_count: Count | None = None
    queue_ms: Count | None = None
    fetch_ms: Count | None = None
    decode_ms: Count | None = None
    ocr_ms: Count | None = None
    total_ms: Count | None = None
    text_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    text: str | None = Field(None, repr=False)

    @model_validator(mode="after")
    def ends_as_a_whole(self) -> Self:
        if self.status_code is None and self.finished_at is not None:
            raise ValueError("a finished record has a status_code")
        return self

    @property
    def finished(self) -> bool:
        return self.finished_at is not None

    @property
    def charged(self) -> bool:
        return self.status_code in (None, RECOGNISED)

    def values(self) -> dict[str, Any]:
        return self.model_dump() | {"charged": self.charged}


def columns(record: UsageRecord, *, keep_text: KeepText) -> dict[str, Any]:
    """What a finished record adds to its row, but for finished_at."""
    picture, elapsed = record.picture, record.elapsed
    hashed = record.charged and keep_text != "none"
    return {
        "status_code": record.status_code,
        "picture_sha256": picture and picture.sha256,
        "picture_width": picture and picture.width,
        "picture_height": picture and picture.height,
        "picture_format": picture and picture.format,
        "line_count": record.lines,
        "character_count": record.characters,
        "queue_ms": elapsed.queue,
        "fetch_ms": elapsed.fetch,
        "decode_ms": elapsed.decode,
        "ocr_ms": elapsed.ocr,
        "total_ms": elapsed.total,
        "text_sha256": hashlib.sha256(record.text.encode()).hexdigest() if hashed else None,
        "text": record.text if hashed and keep_text == "full" else None,
    }


_LOOKED_AT = ("request_id", "finished_at", "charged", *Ended._fields)


@dataclass(frozen=True, slots=True)
class Stored:
    """refused: rows that cannot be stored, now or ever, by their place, with the reason.

    charged: ids of the requests that this made charged ones.
    """

    refused: Mapping[int, str]
    charged: frozenset[str]


def store(connection: Connection, rows: Sequence[Mapping[str, Any]], *, now_ms: int | None = None) -> Stored:
    """Bring the rows into the caller's transaction, by UsageRow's fields; quota_used and the rollup of
    finished days follow.

    now_ms: since 1970, of a caller that brings records of today, which then cost the rollup nothing.
    Idempotent by request_id; a record only moves forward, from begun to finished, and the first end counts.
    A database that is down raises: through Database.write that is DependencyUnavailable.
    """
    good: dict[int, UsageRow] = {}
    refused: dict[int, str] = {}
    for place, row in enumerate(rows):
        try:
            good[place] = UsageRow.model_validate(row)
        except ValidationError as error:
            refused[place] = "; ".join(_said(problem) for problem in error.errors())
    charged, why_not = _attempt(connection, good.values(), now_ms)
    if why_not:
        for place, only in good.items():
            newly, why = _attempt(connection, [only], now_ms)
            charged |= newly
            if why:
                refused[place] = why
    return Stored(refused, frozenset(charged))


def _said(problem: Mapping[str, Any]) -> str:
    return ": ".join([*map(str, problem["loc"]), problem["msg"]])


def _attempt(connection: Connection, rows: Iterable[UsageRow], now_ms: int | None) -> tuple[set[str], str]:
    """What this newly charged; or why the database refuses these rows, of which nothing is left then."""
    try:
        with connection.begin_nested():
            return _store(connection, _furthest(rows), now_ms), ""
    except StatementError as error:
        if type(error) is StatementError or isinstance(error, DataError | IntegrityError):
            return set(), str(error.orig)
        raise


def _furthest(rows: Iterable[UsageRow]) -> list[UsageRow]:
    """One for each request: its first end if it has ended, in the order in which all writers take locks."""
    kept: dict[str, UsageRow] = {}
    for row in rows:
        seen = kept.get(row.request_id)
        if seen is None or (row.finished and not seen.finished):
            kept[row.request_id] = row
    return sorted(kept.values(), key=lambda row: (row.user_id, row.request_id))


def _store(connection: Connection, rows: list[UsageRow], now_ms: int | None) -> set[str]:
    ledger, late = _Ledger(connection, rows), LateRecords(now_ms)
    these = usage_records.c.request_id.in_([row.request_id for row in rows])
    there = select(*(usage_records.c[name] for name in _LOOKED_AT))
    known = {row.request_id: row for row in connection.execute(there.where(these).with_for_update())}

    moving, charged = [], set()
    for row in rows:
        before = known.get(row.request_id)
        if before is None or (before.finished_at is None and row.finished):
            moving.append(row.values())
            was_charged = before is not None and before.charged
            ledger.enter(row, int(row.charged) - int(was_charged))
            late.enter(Ended.of(before) if before is not None else None, Ended.of(row))
            if row.charged and not was_charged:
                charged.add(row.request_id)
    if moving:
        connection.execute(_upsert(connection.dialect.name), moving)
    ledger.write(connection)
    late.write(connection)
    return charged


class _Ledger:
    """What the users of some rows have used, in the newest period that the rows belong to."""

    def __init__(self, connection: Connection, rows: Iterable[UsageRow]) -> None:
        newest: dict[int, int] = {}
        for row in rows:
            newest[row.user_id] = max(row.started_at, newest.get(row.user_id, 0))
        owners = select(users).where(users.c.id.in_(newest)).order_by(users.c.id).with_for_update()
        found = {user.id: counted(user, newest[user.id]) for user in connection.execute(owners)}
        self._used = {user_id: used for user_id, (used, _) in found.items()}
        self._since = {user_id: since for user_id, (_, since) in found.items()}

    def enter(self, row: UsageRow, times: int) -> None:
        if row.user_id in self._used and row.started_at >= self._since[row.user_id]:
            self._used[row.user_id] += times

    def write(self, connection: Connection) -> None:
        for user_id, used in self._used.items():
            this = update(users).where(users.c.id == user_id)
            connection.execute(this.values(quota_used=used, period_started_at=self._since[user_id]))


def _upsert(dialect: str) -> Insert:
    """The rows were locked and looked at; but two who begin the same record at once have none to lock."""
    names = [column.name for column in usage_records.c if column.name not in ("request_id", "finished_at")]
    names.append("finished_at")  # last, since MySQL assigns in turn, and the others depend on it
    if dialect == "mysql":
        inserting = mysql.insert(usage_records)
        new, old = inserting.inserted, usage_records.c
        forward = and_(old.finished_at.is_(None), new.finished_at.is_not(None))
        changes = [(name, case((forward, new[name]), else_=old[name])) for name in names]
        return inserting.on_duplicate_key_update(changes)
    embedded = sqlite.insert(usage_records)
    new, old = embedded.excluded, usage_records.c
    return embedded.on_conflict_do_update(
        index_elements=["request_id"],
        set_={name: new[name] for name in names},
        where=and_(old.finished_at.is_(None), new.finished_at.is_not(None)),
    )
