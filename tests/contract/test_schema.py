"""The tables and their versions: made, upgraded with what they hold, adopted, and refused."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, text

from app.state.sql import schema
from app.state.sql.store import SqlStore
from app.state.sql.tables import metadata
from tests.contract.conftest import MakeStore
from tests.contract.state import used
from tests.servers import MySqlServer

FOLDER = str(Path(schema.__file__).parent / "migrations")
OLD_ROWS = [
    "INSERT INTO users"
    " (id, username, enabled, allow_legacy_sign, quota_limit, quota_used, rate_tat_us, created_at)"
    " VALUES (1, 'alice', 1, 0, 10, 1, 0, 1800000000000)",
    "INSERT INTO user_secrets VALUES (1, 1, 'encrypted', 1800000000000)",
    "INSERT INTO usage_records (request_id, user_id, username, started_at, finished_at, status_code, charged)"
    " VALUES ({id}, 1, 'alice', 1800000000000, 1800000000871, 6, 1)",
]


@pytest.fixture
def store(request: pytest.FixtureRequest, backend: str, make_store: MakeStore) -> Iterator[SqlStore]:
    """On a database without tables."""
    if backend == "sqlite":
        yield make_store()
        return
    server: MySqlServer = request.getfixturevalue("mysql_server")
    server.drop_tables()
    yield make_store()
    server.drop_tables()


def as_before(store: SqlStore, version: str | None) -> None:
    """A database of that version, with a user and a record. None: of a time before versions."""
    config = Config()
    config.set_main_option("script_location", FOLDER)
    key = f"{'ab' * 16}"
    with store.database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version or schema.VERSIONS[0])
        for statement in OLD_ROWS:
            request_id = f"x'{key}'" if connection.dialect.name == "mysql" else f"'{key}'"
            connection.exec_driver_sql(statement.format(id=request_id))
        if version is None:
            connection.exec_driver_sql("DROP TABLE alembic_version")


def differences(store: SqlStore) -> list[Any]:
    with store.database.read() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def test_the_versions_are_those_of_the_scripts() -> None:
    scripts = ScriptDirectory(FOLDER).walk_revisions()
    assert tuple(reversed([script.revision for script in scripts])) == schema.VERSIONS


def test_an_empty_database_gets_the_tables(store: SqlStore) -> None:
    assert store.version() is None
    assert store.upgrade() == (None, schema.HEAD)

    assert differences(store) == []
    store.check_version()
    assert store.upgrade() == (schema.HEAD, schema.HEAD)


@pytest.mark.parametrize("version", [None, *schema.VERSIONS[:-1]])
def test_an_earlier_one_is_upgraded_with_what_it_holds(store: SqlStore, version: str | None) -> None:
    as_before(store, version)
    found = version or schema.VERSIONS[0]
    assert store.version() == found
    with pytest.raises(schema.SchemaMismatch, match=rf"version {found} instead.*flask db upgrade"):
        store.check_version()
    assert store.upgrade() == (found, schema.HEAD)

    assert differences(store) == []
    (alice,) = store.users.list()
    assert (alice.username, alice.quota_limit, alice.quota_period, alice.quota_used) == (
        "alice",
        10,
        "none",
        1,
    )
    assert used(store) == 1
    assert store.tail(1)[0]["request_id"] == "ab" * 16


def test_an_upgrade_goes_on_wherever_it_was_cut_short(store: SqlStore) -> None:
    """MySQL commits each change of a table by itself. Each attempt makes one change more than the last."""
    as_before(store, "0003")
    for done in itertools.count(1):
        if upgraded_until(store, done):
            break
    assert done > 5
    assert differences(store) == []
    assert used(store) == 1


def upgraded_until(store: SqlStore, changes: int) -> bool:
    """False where so many changes of tables, after which the power is cut, are not all of the upgrade."""
    numbers = itertools.count()

    def cut(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith(("CREATE", "DROP", "ALTER")) and next(numbers) == changes:
            raise PowerCut

    event.listen(Engine, "before_cursor_execute", cut)
    try:
        store.upgrade()
    except PowerCut:
        return False
    finally:
        event.remove(Engine, "before_cursor_execute", cut)
    return True


class PowerCut(Exception):
    pass


def test_a_worker_makes_and_upgrades_its_own_file_but_no_shared_database(
    store: SqlStore, backend: str
) -> None:
    if backend == "sqlite":
        as_before(store, None)
        store.create()
        store.check_version()
        return
    with pytest.raises(schema.SchemaMismatch, match="no tables yet: run `flask db init`"):
        store.create()
    as_before(store, "0001")
    with pytest.raises(schema.SchemaMismatch, match="flask db upgrade"):
        store.create()
    assert store.version() == "0001"


def test_tables_of_a_newer_release_are_left_alone(store: SqlStore) -> None:
    store.upgrade()
    with store.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    for attempt in (store.upgrade, store.create, store.check_version):
        with pytest.raises(schema.SchemaMismatch, match="newer release"):
            attempt()


def test_of_several_at_once_one_upgrades(
    store: SqlStore, make_store: MakeStore, request: pytest.FixtureRequest
) -> None:
    """Also where the last commit, that of the version, takes a while."""
    as_before(store, None)
    slowly = Engine, "commit", lambda connection: time.sleep(0.2)
    event.listen(*slowly)
    request.addfinalizer(lambda: event.remove(*slowly))
    outcomes: list[tuple[str | None, str]] = []
    threads = [threading.Thread(target=lambda: outcomes.append(make_store().upgrade())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(before or "" for before, _ in outcomes) == ["0001", *[schema.HEAD] * 3]
    assert differences(store) == []
