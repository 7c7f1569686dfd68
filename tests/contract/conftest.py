from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.state.sql.store import SqlStore
from tests.contract.state import RedisStore, State, fake_state, redis_state, sql_state, sql_store
from tests.fakes import FakeClock
from tests.servers import MySqlServer, RedisServer

MakeStore = Callable[..., SqlStore]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite", "mysql"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def database_url(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> str:
    return empty_database(request, backend, tmp_path)


@pytest.fixture
def make_store(database_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[MakeStore]:
    """Another store on the same database: make_store(rate_burst=3)."""
    made = []

    def make(**changes: Any) -> SqlStore:
        store = sql_store(tmp_path, clock, **{"database_url": database_url} | changes)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store: MakeStore) -> SqlStore:
    """The SQL store on its own, for what the operator does and what the fakes leave out."""
    store = make_store()
    store.upgrade()
    return store


@pytest.fixture
def redis_store(store: SqlStore, tmp_path: Path, redis_server: RedisServer) -> Iterator[RedisStore]:
    """Redis, empty, in front of the SQL store."""
    joined = RedisStore(store, tmp_path, redis_server.url)
    joined.link.ask("FLUSHALL")
    joined.state.open_epoch()
    yield joined
    joined.link.close()


@pytest.fixture(params=["sqlite", "mysql", "redis", "redis over mysql", "fake"])
def state(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[State]:
    if request.param == "fake":
        yield fake_state()
        return
    backend = "mysql" if "mysql" in request.param else "sqlite"
    store = sql_store(tmp_path, clock, database_url=empty_database(request, backend, tmp_path))
    store.upgrade()
    if "redis" in request.param:
        joined = RedisStore(store, tmp_path, request.getfixturevalue("redis_server").url)
        joined.link.ask("FLUSHALL")
        joined.state.open_epoch()
        yield redis_state(joined)
        joined.link.close()
    else:
        yield sql_state(store)
    store.close()


def empty_database(request: pytest.FixtureRequest, backend: str, folder: Path) -> str:
    if backend == "sqlite":
        return f"sqlite:///{folder}/var/ocr.sqlite"
    server: MySqlServer = request.getfixturevalue("mysql_server")
    server.empty_tables()
    return server.url
