"""How the SQLite file is opened and how its transactions end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.errors import DependencyUnavailable
from app.state.sql.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/new/folder/ocr.sqlite"
    database = Database(url, busy_timeout_ms=1000, mysql_timeout_s=3, mysql_connections=1)
    yield database
    database.close()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 0)],
)
def test_every_connection_is_set_up(database: Database, pragma: str, value: object) -> None:
    with database.read() as first, database.read() as second:
        for connection in (first, second):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (number INTEGER)")
    with pytest.raises(KeyError), database.write() as connection:
        connection.exec_driver_sql("INSERT INTO kept VALUES (1)")
        connection.exec_driver_sql("CREATE TABLE gone (number INTEGER)")
        raise KeyError

    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT name FROM sqlite_schema").scalars().all() == ["kept"]
        assert connection.exec_driver_sql("SELECT count(*) FROM kept").scalar() == 0


def test_a_reader_beside_a_writer_sees_what_was_committed(database: Database) -> None:
    with database.write() as writer:
        writer.exec_driver_sql("CREATE TABLE seen (number INTEGER)")
    with database.write() as writer, database.read() as reader:
        writer.exec_driver_sql("INSERT INTO seen VALUES (1)")
        assert reader.exec_driver_sql("SELECT count(*) FROM seen").scalar() == 0
    with database.read() as reader:
        assert reader.exec_driver_sql("SELECT count(*) FROM seen").scalar() == 1


def test_a_commit_is_made_where_it_holds_up_nobody(tmp_path: Path) -> None:
    """And its failure is the caller's."""
    full = False
    committed_in: list[int] = []

    def in_a_thread(commit: Callable[[], None]) -> None:
        if full:
            raise OSError("no space left")

        def work() -> None:
            committed_in.append(threading.get_ident())
            commit()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    url = f"sqlite:///{tmp_path}/ocr.sqlite"
    database = Database(
        url, busy_timeout_ms=1000, mysql_timeout_s=3, mysql_connections=1, run_commit=in_a_thread
    )
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (number INTEGER)")
    assert committed_in and threading.get_ident() not in committed_in
    full = True
    with pytest.raises(DependencyUnavailable), database.write() as connection:
        connection.exec_driver_sql("INSERT INTO kept VALUES (1)")
    full = False
    with database.for_reports(1).read() as reader:
        assert reader.exec_driver_sql("SELECT count(*) FROM kept").scalar() == 0
        assert reader.exec_driver_sql("PRAGMA busy_timeout").scalar() == 1000
    database.close()
