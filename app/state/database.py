"""One SQLite file that all workers share: how it is opened, locked and waited for; what its faults mean."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.errors import DependencyUnavailable

_LONGEST_PAUSE_S = 0.016  # between two attempts to get the lock


class Database:
    """Opens nothing until it is used: it may be built before a fork, but not used before one.

    A writer takes the write lock at once (BEGIN IMMEDIATE): a transaction that read first and then wanted to
    write would fail where another has written in between. It waits for the lock in short pauses outside of
    SQLite, so that under gevent the other greenlets go on. Plain reads take no lock: with a write-ahead log
    they do not wait for writers. MySQL will join here, with its own time limits and without these events.
    """

    def __init__(self, url: str, *, busy_timeout_ms: int) -> None:
        self._busy_timeout_s = busy_timeout_ms / 1000
        self._engine = create_engine(
            url,
            connect_args={"timeout": 0},  # SQLite itself is not to wait: see above
            hide_parameters=True,  # errors go into the log; what they were about may be a secret
            pool_timeout=self._busy_timeout_s,
        )
        event.listen(self._engine, "do_connect", self._create_file)
        event.listen(self._engine, "connect", self._set_up)
        event.listen(self._engine, "begin", self._begin)
        self._writer = self._engine.execution_options(writes=True)  # the same pool

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """For single statements: each sees one state of the database. Raises DependencyUnavailable."""
        with _faults_named(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: on disk when the block ends, undone if it raises. Raises DependencyUnavailable."""
        with _faults_named(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    def _create_file(self, _dialect: object, _record: object, _args: object, _options: object) -> None:
        """Before SQLite does, which would let others read it; its log files take over the mode."""
        path = Path(self._engine.url.database or "")
        if not path.exists():  # never open a file that SQLite has open: closing it would drop SQLite's locks
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))

    def _set_up(self, connection: Any, _record: object) -> None:
        connection.isolation_level = None  # sqlite3 is not to begin transactions on its own
        with closing(connection.cursor()) as cursor:
            self._patiently(lambda: cursor.execute("PRAGMA journal_mode = WAL"))
            cursor.execute("PRAGMA synchronous = FULL")  # what was answered survives a power cut
            cursor.execute("PRAGMA foreign_keys = ON")

    def _begin(self, connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            self._patiently(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"))

    def _patiently(self, attempt: Callable[[], object]) -> None:
        give_up = time.monotonic() + self._busy_timeout_s
        pause = 0.001
        while True:
            try:
                attempt()
                return
            except (sqlite3.OperationalError, OperationalError) as error:
                if not _locked(error) or time.monotonic() > give_up:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)


def _locked(error: sqlite3.OperationalError | OperationalError) -> bool:
    cause = error.orig if isinstance(error, OperationalError) else error
    code = getattr(cause, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_BUSY  # the higher bits say why


@contextmanager
def _faults_named() -> Iterator[None]:
    """A database that is locked, full, broken or gone is unavailable; a row that breaks a rule is a bug."""
    try:
        yield
    except (OperationalError, PoolTimeout, OSError) as error:
        raise DependencyUnavailable(f"database: {_cause(error)}", retry_after=1) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # a child of it: integrity, programming, data
            raise
        raise DependencyUnavailable(f"database: {_cause(error)}", retry_after=1) from error


def _cause(error: Exception) -> object:
    """What the driver said, without the statement that SQLAlchemy adds."""
    return getattr(error, "orig", None) or error
