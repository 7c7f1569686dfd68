"""Transactions on the SQL database that all workers share, and how its faults are reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.errors import DependencyUnavailable
from app.state.sql import mysql, sqlite
from app.system.blocking import Run, at_once

PATIENT_TIMEOUT_S = 3600
"""Limit for one statement of an operator's command on MySQL."""

REPORT_TIMEOUT_S = 30
"""Limit for one statement of a caller's report on MySQL: it may sum up a day of a million records."""


class DatabaseUnavailable(DependencyUnavailable):
    def __init__(self, detail: object) -> None:
        super().__init__(f"database: {detail}", retry_after=1)


class Database:
    """SQLite or MySQL, depending on the URL. Connects at the first use: build it before a fork if need be,
    but use it only after the fork.

    busy_timeout_ms: limit of the wait for another writer, and for a free connection.
    mysql_timeout_s: limit for connecting to MySQL, and for each of its answers.
    mysql_connections: upper limit in this process. failed: called at each fault, for the metrics.
    in_threads, run_commit: as in sqlite.engine.
    """

    def __init__(
        self,
        url: str,
        *,
        busy_timeout_ms: int,
        mysql_timeout_s: float,
        mysql_connections: int,
        failed: Callable[[], None] = lambda: None,
        in_threads: bool = False,
        run_commit: Run = at_once,
    ) -> None:
        parsed = _parsed(url)
        self._url = url
        self._failed = failed
        self._busy_timeout_ms = busy_timeout_ms
        self.shown = parsed.set(query={}).render_as_string(hide_password=True)
        self.embedded = parsed.get_backend_name() == "sqlite"
        self.writers = 1 if self.embedded else mysql_connections  # at once, in this process
        if self.embedded:
            self._engine = sqlite.engine(
                parsed, busy_timeout_ms=busy_timeout_ms, in_threads=in_threads, run_commit=run_commit
            )
        else:
            self._engine = mysql.engine(
                parsed,
                busy_timeout_ms=busy_timeout_ms,
                timeout_s=mysql_timeout_s,
                connections=mysql_connections,
            )
        self._writer = self._engine.execution_options(writes=True)  # the same pool

    def patient(self) -> Database:
        """The same database for an operator's command, whose statements may take long."""
        return Database(
            self._url,
            busy_timeout_ms=self._busy_timeout_ms,
            mysql_timeout_s=PATIENT_TIMEOUT_S,
            mysql_connections=1,
        )

    def for_reports(self, at_once: int) -> Database:
        """The same database for reports, which take longer than anything else that a caller waits for. The
        caller counts its faults.

        MySQL gets at_once connections, so that reports use none of those for requests. SQLite is used from
        native threads beside gevent's loop: each use opens the file and waits inside SQLite, because the
        locks and pauses of the pool are gevent's.
        """
        return Database(
            self._url,
            busy_timeout_ms=self._busy_timeout_ms,
            mysql_timeout_s=REPORT_TIMEOUT_S,
            mysql_connections=at_once,
            in_threads=True,
        )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """For single statements; each sees one state of the database. Raises DependencyUnavailable."""
        with self._report_faults(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: on disk when the block ends, undone if it raises. Raises DependencyUnavailable.

        SQLite has one writer at a time. On MySQL writers run side by side, and a row read `FOR UPDATE` stays
        locked for the others until the transaction ends.
        """
        with self.session() as connection, connection.begin():
            yield connection

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A writer's connection for several transactions, each `with connection.begin()`."""
        with self._report_faults(), self._writer.connect() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _report_faults(self) -> Iterator[None]:
        try:
            with _translate_faults():
                yield
        except DatabaseUnavailable:
            self._failed()
            raise


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # whose text may quote the password
        raise ValueError("the database's URL cannot be parsed") from None


@contextmanager
def _translate_faults() -> Iterator[None]:
    """A locked, full, broken or stopped database is unavailable. A row that breaks a constraint is a bug."""
    try:
        yield
    except (PoolTimeout, OSError) as error:
        raise DatabaseUnavailable(error) from error
    except DBAPIError as error:
        if not _unavailable(error):
            raise
        remedy = " (`flask db init` makes the tables)" if _lacks_table(error) else ""
        raise DatabaseUnavailable(f"{error.orig}{remedy}") from error


def _unavailable(error: DBAPIError) -> bool:
    """False if the statement or its values are wrong: these errors are subclasses of DatabaseError, too."""
    if isinstance(error, ProgrammingError):
        return _lacks_table(error)
    return (
        isinstance(error, OperationalError | InterfaceError | InternalError) or type(error) is DatabaseError
    )


def _lacks_table(error: DBAPIError) -> bool:
    return mysql.lacks_table(error) or sqlite.lacks_table(error)
