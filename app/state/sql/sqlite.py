"""The embedded database, one SQLite file: how it is opened and locked, and how writers wait."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from app.system.blocking import Run, at_once

CONNECTIONS = 15
"""Upper limit in one process."""

_LONGEST_PAUSE_S = 0.016  # between two attempts to get the lock


def engine(url: URL, *, busy_timeout_ms: int, in_threads: bool = False, run_commit: Run = at_once) -> Engine:
    """A writer takes the write lock first (BEGIN IMMEDIATE): a transaction that reads before it writes would
    fail if another process wrote in between. A writer waits for the lock in short pauses outside SQLite, so
    that other greenlets run meanwhile. Reads take no lock: with a write-ahead log they do not wait for
    writers.

    in_threads: for native threads beside gevent's loop. SQLite itself waits, and threads share no connection.
    run_commit: runs each commit, which waits for the disk, longest when it moves the write-ahead log into the
    file. Everything else runs in the calling thread.
    """
    busy_timeout_s = busy_timeout_ms / 1000
    shared = {"pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": busy_timeout_s}
    pool: dict[str, Any] = {"poolclass": NullPool} if in_threads else shared
    made = create_engine(
        url,
        connect_args={
            "timeout": busy_timeout_s if in_threads else 0,
            "factory": partial(_Connection, run_commit=run_commit),
        },
        hide_parameters=True,  # errors go into the log, and a parameter may be a secret
        **pool,
    )
    opening = _Opening(Path(url.database or ""), 0 if in_threads else busy_timeout_s)
    event.listen(made, "do_connect", opening.create_file)
    event.listen(made, "connect", opening.set_up)
    event.listen(made, "begin", opening.begin)
    return made


class _Connection(sqlite3.Connection):
    def __init__(self, *arguments: Any, run_commit: Run, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._run_commit = run_commit

    def commit(self) -> None:
        self._run_commit(super().commit)


class _Opening:
    def __init__(self, file: Path, busy_timeout_s: float) -> None:
        self._file = file
        self._busy_timeout_s = busy_timeout_s

    def create_file(self, _dialect: object, _record: object, _args: object, _options: object) -> None:
        """Create the file with mode 0600, as SQLite would not. Its log files inherit the mode."""
        if not self._file.exists():  # to open and close a file that SQLite has open would drop its locks
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(self._file, os.O_CREAT | os.O_EXCL, 0o600))

    def set_up(self, connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the module must not begin transactions by itself
        with closing(connection.cursor()) as cursor:
            self._retry_while_locked(lambda: cursor.execute("PRAGMA journal_mode = WAL"))
            cursor.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
            cursor.execute("PRAGMA foreign_keys = ON")

    def begin(self, connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            self._retry_while_locked(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"))

    def _retry_while_locked(self, attempt: Callable[[], object]) -> None:
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
    return code & 0xFF == sqlite3.SQLITE_BUSY  # the higher bits tell the reason


def lacks_table(error: DBAPIError) -> bool:
    """Whether the database does not have our tables. SQLite has no error code for that."""
    return str(error.orig).startswith("no such table")
