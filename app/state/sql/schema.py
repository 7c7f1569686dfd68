"""The version of the tables, and their upgrade to that of this software (`flask db`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from app.state.sql.database import Database

VERSIONS = ("0001", "0002", "0003", "0004", "0005")
"""All versions so far; the last is that of app/state/sql/tables.py."""

HEAD = VERSIONS[-1]
_UNVERSIONED = VERSIONS[0]  # tables without a version are those of the first
_FOLDER = Path(__file__).parent / "migrations"
_LOCK_WAIT_S = 60


class SchemaMismatch(RuntimeError):
    """The tables have another version than this software needs; the text names it and the remedy."""


def version(connection: Connection) -> str | None:
    """That of the tables in the database; None without tables."""
    tables = inspect(connection)
    if tables.has_table("alembic_version"):
        found = connection.scalar(text("SELECT version_num FROM alembic_version"))
        if found is not None:
            return str(found)
    return _UNVERSIONED if tables.has_table("users") else None


def check(database: Database) -> None:
    """Raises SchemaMismatch, with the remedy, or DependencyUnavailable."""
    with database.read() as connection:
        found = version(connection)
    if found == HEAD:
        return
    if found is None:
        raise SchemaMismatch(f"{database.shown} has no tables yet: run `flask db init`")
    if found in VERSIONS:
        raise SchemaMismatch(
            f"{database.shown} has the tables of version {found} instead of {HEAD}: "
            "back it up and run `flask db upgrade`"
        )
    raise _newer(database, found)


def upgrade(database: Database) -> tuple[str | None, str]:
    """Create or upgrade the tables. Returns the versions before (None: no tables) and after.

    Any number of processes may call it at once: one of them upgrades. Raises SchemaMismatch if a newer
    release has upgraded the tables.
    """
    with database.session() as connection, _alone(connection), connection.begin():
        found = version(connection)
        if found is not None and found not in VERSIONS:
            raise _newer(database, found)
        if found != HEAD:
            _migrate(connection, found)
    return found, HEAD


def _newer(database: Database, found: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"{database.shown} has tables of version {found}, made by a newer release: start that one"
    )


def _migrate(connection: Connection, found: str | None) -> None:
    """Imports Alembic here, since no worker needs it while the tables have the right version."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    if found == _UNVERSIONED:
        command.stamp(config, _UNVERSIONED)
    command.upgrade(config, HEAD)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """A lock for MySQL, which commits each change of a table by itself; SQLite has one writer anyway.

    The lock outlasts the transaction, so that the next process reads the version that was committed last.
    """
    if connection.dialect.name != "mysql":
        yield
        return
    name = {"name": "ocr schema", "seconds": _LOCK_WAIT_S}
    if connection.scalar(text("SELECT GET_LOCK(:name, :seconds)"), name) != 1:
        raise SchemaMismatch(f"another `flask db` has been at work for {_LOCK_WAIT_S} s: try again")
    connection.rollback()  # ends the transaction of that query; the lock stays
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), name)
