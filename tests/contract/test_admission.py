"""The Admission port: nonce, rate and quota in one step, also with concurrent callers."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from app.errors import (
    Busy,
    DependencyUnavailable,
    NonceReplayed,
    QuotaExhausted,
    RateLimited,
    ServiceError,
    UserDisabled,
)
from app.model.account import Quota
from app.model.reading import Elapsed
from app.model.usage import RECOGNISED, UsageRecord
from app.state.sql import store as sql
from app.state.sql.store import SqlStore
from app.state.sql.tables import metadata, nonces
from tests.contract.conftest import MakeStore
from tests.contract.state import State, id_of, ocr_request, sql_store, used
from tests.fakes import FakeClock

only_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

ROOT = Path(__file__).parents[2]
PROCESSES, THREADS = 5, 10


def admit(store: SqlStore, nonce: str = "nonce-0001", *, ttl: float = 60, request_id: str = "") -> Quota:
    account = store.find("alice")
    assert account is not None
    return store.admit(account, ocr_request(nonce, request_id=request_id), nonce_ttl_s=ttl)


def row_count(store: SqlStore, table: str) -> int:
    with store.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(metadata.tables[table])) or 0


def test_tells_what_is_left(state: State) -> None:
    state.add_user("alice", quota_limit=2)
    state.add_user("bob")

    left = [state.admission.admit(state.account(), ocr_request(n), nonce_ttl_s=60) for n in ("one", "two")]
    bob = state.admission.admit(state.account("bob"), ocr_request("three"), nonce_ttl_s=60)

    assert left == [Quota(2, 1), Quota(2, 0)]
    assert bob == Quota(None, None)


def test_a_nonce_is_spent_once(state: State) -> None:
    state.add_user("alice")
    state.admission.admit(state.account(), ocr_request(), nonce_ttl_s=60)

    with pytest.raises(NonceReplayed):
        state.admission.admit(state.account(), ocr_request(request_id="another"), nonce_ttl_s=60)
    assert state.used("alice") == 1


def test_a_nonce_belongs_to_its_user(state: State) -> None:
    for name in ("alice", "Alice"):
        state.add_user(name)
        state.admission.admit(state.account(name), ocr_request(request_id=f"of {name}"), nonce_ttl_s=60)


def test_our_own_retry_is_charged_once(state: State) -> None:
    state.add_user("alice", quota_limit=1)

    quotas = [state.admission.admit(state.account(), ocr_request(), nonce_ttl_s=60) for _ in range(3)]

    assert quotas == [Quota(1, 0)] * 3
    assert state.used("alice") == 1


def test_less_than_nothing_is_never_left(store: SqlStore) -> None:
    store.users.add("alice", quota_limit=10)
    admit(store)
    store.users.set_quota("alice", 0)

    assert admit(store) == Quota(0, 0)


def test_no_quota_no_entry(state: State) -> None:
    state.add_user("alice", quota_limit=0)

    for _ in range(2):  # the nonce is not spent by a refusal, so the second refusal is the same
        with pytest.raises(QuotaExhausted):
            state.admission.admit(state.account(), ocr_request(), nonce_ttl_s=60)
    assert state.used("alice") == 0


def test_a_nonce_may_come_again_once_expired(store: SqlStore, clock: FakeClock, tmp_path: Path) -> None:
    store.users.add("alice")
    admit(store, ttl=10.5)
    clock.advance(10.25)
    with pytest.raises(NonceReplayed):
        admit(store, request_id="another")
    clock.advance(0.25)
    admit(store, request_id="another")

    assert row_count(store, "nonces") == 1


def test_expired_nonces_are_forgotten_a_few_at_a_time(
    store: SqlStore, clock: FakeClock, tmp_path: Path
) -> None:
    store.users.add("alice")
    for number in range(20):
        admit(store, f"nonce-{number}", ttl=10)
    clock.advance(11)

    left = []
    for number in range(4):
        admit(store, f"later-{number}", ttl=10)
        left.append(row_count(store, "nonces"))

    assert left == [20 + 1 - 8, 20 + 2 - 16, 3, 4]


def test_the_sweep_forgets_all_expired_nonces(store: SqlStore, clock: FakeClock, tmp_path: Path) -> None:
    store.users.add("alice")
    admit(store, ttl=1000)
    expired = {"user_id": 1, "request_id": id_of("expired"), "expires_at": 1}
    with store.database.write() as connection:
        connection.execute(insert(nonces), [{"nonce": f"nonce-{number}"} | expired for number in range(2500)])
    store.sweep()

    assert row_count(store, "nonces") == 1


def test_rate_lets_a_burst_in_and_then_one_an_interval(make_store: MakeStore, clock: FakeClock) -> None:
    store = make_store(rate_per_minute=7, rate_burst=3)
    store.create()
    store.users.add("alice")
    for number in range(3):
        admit(store, f"burst-{number}")

    with pytest.raises(RateLimited) as refused:
        admit(store, "too-early")
    assert refused.value.retry_after == 9  # of 60 / 7 = 8.57 s
    clock.advance(8.5)
    with pytest.raises(RateLimited) as refused:
        admit(store, "too-early")
    assert refused.value.retry_after == 1
    assert used(store) == 3

    clock.advance(0.1)
    admit(store, "too-early")  # its nonce was not spent by the refusals
    with pytest.raises(RateLimited):
        admit(store, "next")


def test_rate_forgets_what_lies_ahead_when_the_clock_is_set_back(
    make_store: MakeStore, clock: FakeClock
) -> None:
    store = make_store(rate_per_minute=60, rate_burst=1)
    store.create()
    store.users.add("alice")
    admit(store, "today")
    clock.advance(-86_400)

    with pytest.raises(RateLimited) as refused:
        admit(store, "yesterday")
    assert refused.value.retry_after == 1


def test_the_nonce_is_checked_before_the_rate_and_the_rate_before_the_quota(
    make_store: MakeStore, clock: FakeClock
) -> None:
    store = make_store(rate_per_minute=60, rate_burst=1)
    store.create()
    store.users.add("alice", quota_limit=1)
    admit(store)

    admit(store)
    with pytest.raises(NonceReplayed):
        admit(store, request_id="another")
    with pytest.raises(RateLimited):
        admit(store, "nonce-0002")
    clock.advance(1)
    with pytest.raises(QuotaExhausted):
        admit(store, "nonce-0002")


def test_a_user_who_was_disabled_or_deleted_meanwhile(store: SqlStore, tmp_path: Path) -> None:
    store.users.add("alice")
    account = store.find("alice")
    assert account is not None
    store.users.set_enabled("alice", False)

    with pytest.raises(UserDisabled):
        store.admit(account, ocr_request(), nonce_ttl_s=60)
    with pytest.raises(UserDisabled):
        store.admit(replace(account, user_id=99), ocr_request(), nonce_ttl_s=60)
    assert row_count(store, "nonces") == row_count(store, "usage_records") == 0


@pytest.mark.parametrize("ended", [False, True])
def test_a_request_id_cannot_be_used_for_two_nonces(state: State, ended: bool) -> None:
    """A proxy that lets callers choose it: the second would share the first one's record."""
    state.add_user("alice")
    state.admission.admit(state.account(), ocr_request(request_id="same"), nonce_ttl_s=60)
    if ended:
        state.usage.finish(UsageRecord(id_of("same"), "alice", RECOGNISED))

    with pytest.raises(NonceReplayed):
        state.admission.admit(state.account(), ocr_request("nonce-0002", request_id="same"), nonce_ttl_s=60)
    assert state.used("alice") == 1
    state.admission.admit(state.account(), ocr_request("nonce-0002"), nonce_ttl_s=60)  # it was not spent


def test_what_has_failed_is_not_retried_by_us(state: State) -> None:
    state.add_user("alice", quota_limit=5)
    state.admission.admit(state.account(), ocr_request(), nonce_ttl_s=60)
    state.usage.finish(UsageRecord(id_of("nonce-0001"), "alice", 14))

    with pytest.raises(NonceReplayed):
        state.admission.admit(state.account(), ocr_request(), nonce_ttl_s=60)
    assert state.used("alice") == 0


def test_a_worker_that_died_before_its_answer_went_out_is_stood_in_for(state: State) -> None:
    """By another one, which Nginx asks at once: read again, and charged once."""
    state.add_user("alice", quota_limit=1)
    record = UsageRecord(id_of("nonce-0001"), "alice", RECOGNISED)

    for _ in range(2):
        assert state.admission.admit(state.account(), ocr_request(), nonce_ttl_s=60) == Quota(1, 0)
        state.usage.finish(record)

    with pytest.raises(NonceReplayed):
        state.admission.admit(state.account(), ocr_request(request_id="another"), nonce_ttl_s=60)
    assert state.used("alice") == 1


def test_an_answer_may_have_been_lost_for_a_moment_only(store: SqlStore, clock: FakeClock) -> None:
    store.users.add("alice")
    admit(store)
    store.finish(UsageRecord(id_of("nonce-0001"), "alice", RECOGNISED))
    clock.advance(10)

    with pytest.raises(NonceReplayed):
        admit(store)


@only_sqlite
def test_a_locked_database_is_reported_soon(store: SqlStore, make_store: MakeStore, tmp_path: Path) -> None:
    store.users.add("alice")
    admit(store)
    impatient = make_store(busy_timeout_ms=200)
    other = sqlite3.connect(tmp_path / "var" / "ocr.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    for call in (
        lambda: admit(impatient, "nonce-0002"),
        lambda: impatient.finish(UsageRecord(id_of("nonce-0001"), "alice", RECOGNISED)),
    ):
        started = time.monotonic()
        with pytest.raises(DependencyUnavailable, match="locked") as refused:
            call()
        assert 0.15 < time.monotonic() - started < 5
        assert refused.value.retry_after == 1

    other.execute("ROLLBACK")
    other.close()
    admit(impatient, "nonce-0002")


def admit_from_many_threads(
    folder: Path, database_url: str, number: int, same_nonce: bool, gate: Barrier, outcomes: Queue[str]
) -> None:
    store = sql_store(folder, FakeClock(), database_url=database_url)
    gate.wait(120)

    def outcome(thread: int) -> str:
        name = f"{number}-{thread}"
        try:
            admit(store, "nonce-0001" if same_nonce else name, request_id=name)
        except (NonceReplayed, QuotaExhausted) as error:
            return error.error
        except ServiceError as error:
            return repr(error)
        return "admitted"

    with ThreadPoolExecutor(THREADS) as threads:
        for result in threads.map(outcome, range(THREADS)):
            outcomes.put(result)


@pytest.mark.parametrize(("same_nonce", "refusal"), [(False, "quota_exhausted"), (True, "nonce_replayed")])
def test_of_fifty_at_once_from_five_processes_one_is_admitted(
    store: SqlStore, database_url: str, tmp_path: Path, same_nonce: bool, refusal: str
) -> None:
    store.users.add("alice", quota_limit=1)
    spawn = multiprocessing.get_context("spawn")
    gate, outcomes = spawn.Barrier(PROCESSES), spawn.Queue()
    processes = [
        spawn.Process(
            target=admit_from_many_threads,
            args=(tmp_path, database_url, number, same_nonce, gate, outcomes),
            daemon=True,
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    counted = Counter(outcomes.get(timeout=120) for _ in range(PROCESSES * THREADS))
    for process in processes:
        process.join()

    assert counted == {"admitted": 1, refusal: PROCESSES * THREADS - 1}
    assert used(store) == row_count(store, "usage_records") == row_count(store, "nonces") == 1


@only_sqlite
def test_processes_that_start_at_once_make_one_database_and_one_key(
    make_store: MakeStore, database_url: str, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.contract.state import sql_store\n"
        "from tests.fakes import FakeClock\n"
        "folder, url, name = sys.argv[1:]; store = sql_store(Path(folder), FakeClock(), database_url=url)\n"
        "sys.stdin.read()\n"  # until the test closes it, so that all go on together
        "store.create(); store.users.add(name)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path, database_url, f"user-{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()

    assert [process.wait(120) for process in processes] == [0] * len(processes)
    store = make_store()
    assert len([store.find(user.username) for user in store.users.list()]) == len(processes)


@only_sqlite
def test_users_take_turns_to_write(store: SqlStore, tmp_path: Path) -> None:
    """However many requests one of them sends; and to end a request comes before to begin one."""
    alice, bob = (store.users.add(name) and store.find(name) for name in ("alice", "bob"))
    assert alice and bob
    admit(store, "ends")
    order: list[str] = []

    def begin(name: str) -> None:
        store.spend_nonce(bob if name == "bob" else alice, ocr_request(f"nonce-{name}"), nonce_ttl_s=60)
        order.append(name)

    def end() -> None:
        store.finish(UsageRecord(id_of("ends"), "alice", 13, Elapsed(total=1)))
        order.append("end")

    other = sqlite3.connect(tmp_path / "var" / "ocr.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(5) as pool:
        for name in ("first", "second", "third", "bob"):
            pool.submit(begin, name)
            time.sleep(0.1)
        ended = pool.submit(end)
        time.sleep(0.1)
        other.execute("ROLLBACK")
    ended.result()
    other.close()
    assert order == ["first", "end", "bob", "second", "third"]


@only_sqlite
def test_an_end_whose_turn_does_not_come_is_no_busy(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that has not started can be sent again; an ending request would lose its record."""
    store.users.add("alice")
    admit(store, "ends")
    alice = store.find("alice")
    assert alice
    monkeypatch.setattr(sql, "TURN_WITHIN_S", 0.1)
    with store._in_turn("bob"):
        with pytest.raises(DependencyUnavailable):
            store.finish(UsageRecord(id_of("ends"), "alice", 13, Elapsed(total=1)))
        with pytest.raises(Busy):
            store.spend_nonce(alice, ocr_request("nonce-0001"), nonce_ttl_s=60)


@only_sqlite
def test_under_gevent_the_loop_turns_while_the_lock_is_held(
    store: SqlStore, database_url: str, tmp_path: Path
) -> None:
    """Thirty greenlets wait for another process's lock; meanwhile one that only sleeps is not held up."""
    store.users.add("alice")
    other = sqlite3.connect(tmp_path / "var" / "ocr.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    child = subprocess.Popen(
        [sys.executable, "-c", GREENLETS, tmp_path, database_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    waiting = child.stdout.readline()
    time.sleep(0.5)
    other.execute("ROLLBACK")
    other.close()
    rest, _ = child.communicate(timeout=120)

    assert (waiting, child.returncode) == ("waiting\n", 0)
    ticks, admitted = rest.split()
    assert int(ticks) >= 10  # of about 50 that fit into the half second
    assert admitted == "30"
    assert used(store) == 30


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, time
from pathlib import Path
import gevent
from tests.contract.state import ocr_request, sql_store
from tests.fakes import FakeClock

store = sql_store(Path(sys.argv[1]), FakeClock(), database_url=sys.argv[2])
account = store.find("alice")
ticks = 0

def tick():
    global ticks
    while True:
        time.sleep(0.01)
        ticks += 1

def admit(number):
    return store.admit(account, ocr_request(f"nonce-{number}"), nonce_ttl_s=60)

ticker = gevent.spawn(tick)
admissions = [gevent.spawn(admit, number) for number in range(30)]
gevent.sleep(0.05)
print("waiting", flush=True)
before = ticks
gevent.wait(admissions, count=1)
print(ticks - before)
gevent.joinall(admissions, raise_error=True)
print(len(admissions))
"""
