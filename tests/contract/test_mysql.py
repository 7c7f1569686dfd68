"""What only MySQL needs: how sessions are set up, and what happens when the server stops or says nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import DataError

from app.errors import DependencyUnavailable, ServiceError
from app.model.usage import RECOGNISED, UsageRecord
from app.state.sql.store import SqlStore
from tests.contract.conftest import MakeStore
from tests.contract.state import id_of, ocr_request, used
from tests.fakes import FakeClock
from tests.servers import MySqlServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def backend() -> str:
    return "mysql"


def admit(store: SqlStore, nonce: str) -> None:
    account = store.find("alice")
    assert account is not None
    store.admit(account, ocr_request(nonce), nonce_ttl_s=60)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("tx_isolation", "READ-COMMITTED"),
        ("innodb_lock_wait_timeout", 2),
        ("character_set_client", "utf8mb4"),
        ("character_set_connection", "utf8mb4"),
    ],
)
def test_every_session_is_set_up(make_store: MakeStore, variable: str, value: object) -> None:
    store = make_store(busy_timeout_ms=1500)
    with store.database.read() as first, store.database.write() as second:
        for connection in (first, second):
            assert connection.exec_driver_sql(f"SELECT @@{variable}").scalar() == value


def test_what_does_not_fit_is_refused_and_not_cut(store: SqlStore) -> None:
    with pytest.raises(DataError):
        store.users.add("x" * 65)
    assert store.users.list() == []


def test_the_tables_are_ours_whatever_the_server_prefers(store: SqlStore, mysql_server: MySqlServer) -> None:
    columns = mysql_server.execute(
        "SELECT table_name, column_name, column_type, collation_name FROM information_schema.columns"
        " WHERE table_schema = 'ocr'"
    )
    types = {(table, name): (kind, collation) for table, name, kind, collation in columns}
    assert types["usage_records", "request_id"] == ("binary(16)", None)
    assert types["usage_records", "started_at"] == ("bigint(20)", None)
    assert types["usage_records", "text"] == ("mediumtext", "utf8mb4_bin")
    for table in ("users", "usage_records"):
        assert types[table, "username"] == ("varchar(64)", "ascii_bin")


def test_no_request_fails_after_a_restart_of_the_server(store: SqlStore, mysql_server: MySqlServer) -> None:
    store.users.add("alice")
    with mysql_server.stopped(), pytest.raises(DependencyUnavailable, match="Can't connect"):
        store.find("alice")

    admit(store, "nonce-0001")
    assert used(store) == 1


def test_a_server_that_says_nothing_is_given_up(
    store: SqlStore, make_store: MakeStore, mysql_server: MySqlServer
) -> None:
    store.users.add("alice")
    impatient = make_store(mysql_timeout_s=0.5)
    admit(impatient, "nonce-0001")
    with mysql_server.paused():
        started = time.monotonic()
        with pytest.raises(DependencyUnavailable) as refused:
            admit(impatient, "nonce-0002")
        assert 0.4 < time.monotonic() - started < 5
    assert refused.value.retry_after == 1

    admit(impatient, "nonce-0003")
    assert used(store) in (2, 3)  # what was under way may have arrived


def test_no_connection_free_is_reported_soon(make_store: MakeStore) -> None:
    store = make_store(busy_timeout_ms=200, mysql_connections=1)
    with store.database.read(), pytest.raises(DependencyUnavailable, match="QueuePool"):
        store.ping()


def test_a_row_that_is_locked_is_waited_for_and_then_reported(
    store: SqlStore, make_store: MakeStore, mysql_server: MySqlServer
) -> None:
    store.users.add("alice")
    impatient = make_store(busy_timeout_ms=1000)
    with store.database.write() as connection:
        connection.exec_driver_sql("SELECT * FROM users FOR UPDATE")
        with pytest.raises(DependencyUnavailable, match="Lock wait timeout"):
            admit(impatient, "nonce-0001")
    admit(impatient, "nonce-0001")


def test_users_do_not_wait_for_each_other(store: SqlStore, make_store: MakeStore) -> None:
    """Admission of one user while another's is held open, with expired nonces and lost records about."""
    store.users.add("alice")
    store.users.add("bob")
    for number in range(12):
        admit(store, f"nonce-{number}")
    impatient = make_store(busy_timeout_ms=1000)
    bob = impatient.find("bob")
    assert bob is not None
    with store.database.write() as connection:
        connection.exec_driver_sql("SELECT * FROM users WHERE username = 'alice' FOR UPDATE")
        connection.exec_driver_sql("SELECT * FROM nonces WHERE user_id = 1 FOR UPDATE")
        connection.exec_driver_sql("SELECT * FROM usage_records WHERE user_id = 1 FOR UPDATE")
        impatient.admit(bob, ocr_request("of bob"), nonce_ttl_s=-1)
        impatient.admit(bob, ocr_request("of bob, too"), nonce_ttl_s=60)  # forgets the one above
        impatient.finish(UsageRecord(id_of("of bob"), "bob", RECOGNISED))


@pytest.mark.parametrize("ending", ["finish", "sweep"])
def test_an_end_and_an_admission_do_not_wait_for_each_other(
    store: SqlStore, make_store: MakeStore, clock: FakeClock, ending: str
) -> None:
    """Both lock the user first, and then records; the other way around they would deadlock."""
    store.users.add("alice")
    admit(store, "nonce-0001")
    clock.advance(1000)
    other = make_store()
    end = {
        "finish": lambda: other.finish(UsageRecord(id_of("nonce-0001"), "alice", 14)),
        "sweep": other.sweep,
    }[ending]
    with ThreadPoolExecutor(1) as pool:
        with store.database.write() as connection:
            connection.exec_driver_sql("SELECT * FROM users FOR UPDATE")
            ended = pool.submit(end)
            time.sleep(1)  # it waits for the user now, or holds the record already
            connection.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 1")
            connection.exec_driver_sql("SELECT * FROM usage_records FOR UPDATE")
        ended.result(30)
    assert used(store) == 0


def test_admissions_and_ends_at_once_neither_fail_nor_lose_count(
    store: SqlStore, make_store: MakeStore
) -> None:
    store.users.add("alice")
    busy = make_store(mysql_connections=20, rate_burst=1000)
    problems: list[ServiceError] = []

    def work(thread: int) -> None:
        for number in range(10):
            nonce = f"nonce-{thread}-{number}"
            try:
                admit(busy, nonce)
                busy.finish(UsageRecord(id_of(nonce), "alice", RECOGNISED if number % 2 else 14))
            except ServiceError as error:
                problems.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    assert used(store) == 100


def test_a_greenlet_that_is_ended_in_a_query_leaves_no_answer_behind(database_url: str) -> None:
    """A gevent timeout in a call of the driver: no later caller may read the answer it leaves on the wire."""
    child = subprocess.run(
        [sys.executable, "-c", ENDED, database_url], cwd=ROOT, capture_output=True, text=True, timeout=120
    )

    assert (child.stdout, child.stderr) == ("ended\n[2, 3, 4, 5, 6]\n", "")


ENDED = """
from gevent import monkey; monkey.patch_all()
import sys
import gevent
from app.state.sql.database import Database

database = Database(sys.argv[1], busy_timeout_ms=1000, mysql_timeout_s=10, mysql_connections=1)

def ask(what):
    with database.read() as connection:
        return connection.exec_driver_sql(f"SELECT {what}").scalar()

ask(0)
try:
    with gevent.Timeout(0.3):
        ask("SLEEP(1) + 1")
except gevent.Timeout:
    print("ended")
print([ask(number) for number in range(2, 7)])
"""
