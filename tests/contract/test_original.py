"""Users and uses of the original service, from databases of the kind that it is assumed to have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.state.sql.database import Database
from app.state.sql.original import Imported, OriginalTables, take_over
from app.state.sql.store import SqlStore
from tests.contract.state import used
from tests.servers import MySqlServer

NAMES = OriginalTables(
    "user_table", "username", "password", "remaining_times", "usage_{username}", "id", "time"
)
STATEMENTS = [
    "CREATE TABLE user_table (username VARCHAR(64), password VARCHAR(300), remaining_times INTEGER)",
    "INSERT INTO user_table VALUES ('alice', 'pass word', 7), ('bob', 'b', NULL), ('carol', 'c', -3)",
    "INSERT INTO user_table VALUES ('e v e', 'x', 1), ('dave', '', 1), (NULL, 'x', 1)",
    "CREATE TABLE usage_alice (id INTEGER, time INTEGER)",
    "INSERT INTO usage_alice VALUES (1, 1700000000), (2, 1700000001), (3, NULL)",
    "CREATE TABLE usage_bob (id INTEGER, time DATETIME)",
    "INSERT INTO usage_bob VALUES (1, '2023-11-14 22:13:20')",
    "CREATE TABLE usage_carol (id INTEGER, time DATETIME)",
]


@pytest.fixture
def source(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Database:
    url = f"sqlite:///{tmp_path}/original.sqlite"
    if backend == "mysql":
        server: MySqlServer = request.getfixturevalue("mysql_server")
        url = server.url.removesuffix("/ocr") + "/original"
        server.execute(
            "DROP DATABASE IF EXISTS original",
            "CREATE DATABASE original CHARACTER SET utf8mb4",
            "GRANT ALL ON original.* TO 'ocr'@'127.0.0.1'",
        )
    database = Database(url, busy_timeout_ms=1000, mysql_timeout_s=10, mysql_connections=2)
    with database.write() as connection:
        for statement in STATEMENTS:
            connection.exec_driver_sql(statement)
    return database


@pytest.fixture
def take(source: Database, store: SqlStore) -> Callable[[OriginalTables], list[Imported]]:
    def taken(names: OriginalTables) -> list[Imported]:
        with closing(source):
            return list(take_over(source, store.database, store.users, names))

    return taken


def test_users_and_uses_are_taken_over_once(
    take: Callable[[OriginalTables], list[Imported]], store: SqlStore
) -> None:
    first = take(NAMES)
    again = take(NAMES)

    assert [(one.username, one.outcome, one.uses, one.refused) for one in first[:3]] == [
        ("alice", "added", 3, 1),
        ("bob", "added", 1, 0),
        ("carol", "added", 0, 0),
    ]
    assert [one.outcome.partition(":")[0] for one in first[3:]] == ["left out"] * 3
    assert [one.outcome for one in again[:3]] == ["is here already"] * 3

    alice, bob, carol = store.users.list()
    assert (alice.quota_limit, bob.quota_limit, carol.quota_limit) == (10, None, 0)
    assert [used(store, name) for name in ("alice", "bob", "carol")] == [2, 1, 0]
    assert all(user.allow_legacy_sign for user in (alice, bob, carol))
    account = store.find("alice")
    assert account is not None
    assert account.secrets == ("pass word",)
    assert {row["started_at"] for row in store.tail(10)} == {1_700_000_000_000, 1_700_000_001_000}


def test_uses_may_be_left_behind(take: Callable[[OriginalTables], list[Imported]], store: SqlStore) -> None:
    take(OriginalTables("user_table", "username", "password", "remaining_times", None, "id", "time"))

    assert [user.quota_limit for user in store.users.list()] == [7, None, 0]
    assert store.tail(10) == []
