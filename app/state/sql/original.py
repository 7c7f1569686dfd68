"""Users and uses of the service that this one replaces, taken over from its database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import ColumnClause, Select, column, func, select
from sqlalchemy import table as sql_table

from app.model.account import USERNAME
from app.model.usage import RECOGNISED
from app.state.sql.database import Database
from app.state.sql.records import store
from app.state.sql.tables import users
from app.state.sql.users import DuplicateUser, UserDirectory

BATCH = 500
LONGEST_PASSWORD = 256


@dataclass(frozen=True, slots=True)
class OriginalTables:
    """What its tables and columns are called. usage_table: `{username}` in it stands for the user's name."""

    user_table: str
    username: str
    password: str
    remaining: str
    usage_table: str | None
    usage_id: str
    usage_time: str


@dataclass(frozen=True, slots=True)
class Imported:
    """of: what there was. refused: uses that could not be stored."""

    username: str
    outcome: str
    uses: int = 0
    refused: int = 0


def take_over(
    source: Database, target: Database, directory: UserDirectory, names: OriginalTables
) -> Iterator[Imported]:
    """One user after another; those who are here already keep what they have. May be repeated.

    A user's quota is what remains and what was used; each use becomes a usage record of code 6. Raises
    DependencyUnavailable, also where a table or column is not there.
    """
    query = _select(names.user_table, names.username, names.password, names.remaining)
    with source.read() as connection:
        found = connection.execute(query).all()
    for username, password, remaining in found:
        name, secret = str(username or ""), str(password or "")
        if why := _unfit(name, secret):
            yield Imported(name, why)
            continue
        uses = _count(source, names, name)
        outcome = "added"
        try:
            directory.add(name, quota_limit=_limit(remaining, uses), allow_legacy_sign=True, secret=secret)
        except DuplicateUser:
            outcome = "is here already"
        refused = _take_uses(source, target, names, name) if uses else 0
        yield Imported(name, outcome, uses, refused)


def _unfit(name: str, secret: str) -> str:
    if not re.fullmatch(USERNAME, name):
        return "left out: its name is none that can be signed with"
    if not 0 < len(secret.encode()) <= LONGEST_PASSWORD:
        return f"left out: its password has not 1 to {LONGEST_PASSWORD} bytes"
    return ""


def _limit(remaining: int | Decimal | None, uses: int) -> int | None:
    return None if remaining is None else max(0, int(remaining)) + uses


def _count(source: Database, names: OriginalTables, username: str) -> int:
    if names.usage_table is None:
        return 0
    rows = sql_table(names.usage_table.format(username=username))
    with source.read() as connection:
        return connection.scalar(select(func.count()).select_from(rows)) or 0


def _take_uses(source: Database, target: Database, names: OriginalTables, username: str) -> int:
    """How many of them could not be stored."""
    usage_table = (names.usage_table or "").format(username=username)
    with target.read() as connection:
        user_id = connection.scalar(select(users.c.id).where(users.c.username == username))
    query = _select(usage_table, names.usage_id, names.usage_time)
    refused = 0
    with source.read() as connection:
        for batch in connection.execution_options(yield_per=BATCH).execute(query).partitions():
            rows = [_row(user_id, username, usage_table, *use) for use in batch]
            with target.write() as writer:
                refused += len(store(writer, rows).refused)
    return refused


def _row(user_id: int | None, username: str, usage_table: str, use_id: object, at: Any) -> dict[str, Any]:
    """Its request id follows from the table and the use's id, so that to repeat this changes nothing."""
    milliseconds = _milliseconds(at)
    return {
        "request_id": uuid5(NAMESPACE_URL, f"original:{usage_table}:{use_id}").hex,
        "user_id": user_id,
        "username": username,
        "started_at": milliseconds,
        "finished_at": milliseconds,
        "status_code": RECOGNISED,
    }


def _milliseconds(at: Any) -> int | None:
    """From Unix seconds, or a DATETIME or its text, taken as UTC; None, which is refused, for the rest."""
    readers: tuple[Callable[[], float], ...] = (
        lambda: float(at),
        lambda: datetime.fromisoformat(str(at)).replace(tzinfo=UTC).timestamp(),
    )
    for reader in readers:
        try:
            return int(reader() * 1000)
        except (TypeError, ValueError, OverflowError):
            continue
    return None


def _select(name: str, *columns: str) -> Select[Any]:
    parts: list[ColumnClause[Any]] = [column(each) for each in columns]
    return select(*parts).select_from(sql_table(name, *parts))
