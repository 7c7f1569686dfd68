"""Imports users and their usage from the database of the service that this one replaces."""

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
    """Names of that database's tables and columns. usage_table: may contain `{username}`."""

    user_table: str
    username: str
    password: str
    remaining: str
    usage_table: str | None
    usage_id: str
    usage_time: str


@dataclass(frozen=True, slots=True)
class Imported:
    """uses: rows of the usage table. refused: those that could not be stored."""

    username: str
    outcome: str
    uses: int = 0
    refused: int = 0


def take_over(
    source: Database, target: Database, directory: UserDirectory, names: OriginalTables
) -> Iterator[Imported]:
    """Import one user after another. Existing users do not change, so the import may be repeated.

    A user's quota is the sum of what remains and what was used; each use becomes a usage record with code 6.
    Raises DependencyUnavailable, also where a table or column does not exist.
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
        refused = _import_uses(source, target, names, name) if uses else 0
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


def _import_uses(source: Database, target: Database, names: OriginalTables, username: str) -> int:
    """Returns how many uses could not be stored."""
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
    """The request id follows from the table and the use's id, so a repeated import stores nothing twice."""
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
    """From Unix seconds, or a DATETIME or its text in UTC. None for other values: such a row is refused."""
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
