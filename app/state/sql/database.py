"""Transactions on the one SQL database that all workers share, and what its faults mean."""

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
"""How long one statement of an operator's command may take on MySQL."""

REPORT_TIMEOUT_S = 30
"""How long one statement of a caller's report may take on MySQL: it may count a day of a million records."""


class DatabaseUnavailable(DependencyUnavailable):
    def __init__(self, detail: object) -> None:
        super().__init__(f"database: {detail}", retry_after=1)


class Database:
    """SQLite or MySQL, by the URL. Opens nothing until it is used: it may be built before a fork, but not
    used before one.

    busy_timeout_ms: how long to wait for another writer, and for a free connection.
    mysql_timeout_s: how long MySQL may take to be connected, and then to answer.
    mysql_connections: how many a process holds at most. failed: told of each fault, for the metrics.
    in_threads, run_commit: as sqlite.engine has them.
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
        """The same for an operator's work that may take long, of which MySQL says nothing meanwhile."""
        return Database(
            self._url,
            busy_timeout_ms=self._busy_timeout_ms,
            mysql_timeout_s=PATIENT_TIMEOUT_S,
            mysql_connections=1,
        )

    def for_reports(self, at_once: int) -> Database:
        """The same for reports, which take longer than what else a caller waits for. The caller counts its
        faults.

        MySQL gets connections for at_once reports, so that reports take none from requests. SQLite is for
        native threads beside gevent's loop: each use opens the file and waits within SQLite, because the
        pool's locks and pauses are gevent's.
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
        """For single statements: each sees one state of the database. Raises DependencyUnavailable."""
        with self._faults_told(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: on disk when the block ends, undone if it raises. Raises DependencyUnavailable.

        SQLite has one writer at a time. On MySQL writers go on side by side, and a row read `FOR UPDATE` is
        the reader's alone until its transaction ends.
        """
        with self.session() as connection, connection.begin():
            yield connection

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """For several transactions of a writer, each of them `with connection.begin()`."""
        with self._faults_told(), self._writer.connect() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            with _faults_named():
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
def _faults_named() -> Iterator[None]:
    """A database that is locked, full, broken or gone is unavailable; a row that breaks a rule is a bug."""
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
    """Not where the statement or its values are at fault: those are children of DatabaseError, too."""
    if isinstance(error, ProgrammingError):
        return _lacks_table(error)
    return (
        isinstance(error, OperationalError | InterfaceError | InternalError) or type(error) is DatabaseError
    )


def _lacks_table(error: DBAPIError) -> bool:
    return mysql.lacks_table(error) or sqlite.lacks_table(error)
