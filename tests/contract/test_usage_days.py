"""The rollup of finished days stays equal to the records, whatever comes late, at once or in between."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from functools import partial

import pytest
from sqlalchemy import Connection, delete, event, func, select
from sqlalchemy.engine import Engine

from app.errors import DependencyUnavailable
from app.model.reading import Elapsed
from app.model.usage import RECOGNISED, UsageRecord
from app.state.sql import usage_days as rollup
from app.state.sql.late_records import locked_day
from app.state.sql.quota_period import DAY_MS
from app.state.sql.records import store as store_rows
from app.state.sql.retention import purge
from app.state.sql.store import SqlStore
from app.state.sql.tables import EVERYBODY, rollups, usage_days, usage_records
from app.state.sql.users import LISTED_AT_ONCE
from tests.contract.conftest import MakeStore
from tests.contract.state import id_of, ocr_request
from tests.contract.test_schema import as_before
from tests.fakes import FakeClock
from tests.servers import MySqlServer

DAY_S = DAY_MS // 1000
GONE = 77  # a user of whom only records are left


@pytest.fixture(autouse=True)
def people(request: pytest.FixtureRequest) -> None:
    if "empty" not in request.fixturenames:
        for name in ("alice", "bob"):
            request.getfixturevalue("store").users.add(name)


def row(
    name: str, clock: FakeClock, *, user: int = 1, code: int = RECOGNISED, ms: int = 500
) -> dict[str, object]:
    """A record that begins and ends now."""
    now = int(clock.now() * 1000)
    return {
        "request_id": id_of(name),
        "user_id": user,
        "username": {1: "alice", 2: "bob"}.get(user, "gone"),
        "started_at": now,
        "finished_at": now + ms,
        "status_code": code,
        "total_ms": ms,
        "character_count": 10 if code == RECOGNISED else 0,
    }


def store_them(store: SqlStore, *rows: dict[str, object]) -> None:
    with store.database.write() as connection:
        assert store_rows(connection, rows, now_ms=store._now_ms()).refused == {}


def built(store: SqlStore) -> int:
    """How many days are."""
    with store.database.read() as connection:
        return connection.scalar(select(func.count()).where(rollups.c.built)) or 0


def today(clock: FakeClock) -> date:
    return datetime.fromtimestamp(clock.now(), UTC).date()


def assert_true_to_records(store: SqlStore, clock: FakeClock, *users: int) -> None:
    """Reports on everybody and on these users say what the records say."""
    last = today(clock)
    first = date.fromordinal(last.toordinal() - 30)
    records = [record for record in store.tail(10_000) if record["status_code"] is not None]
    for user in (None, *users):
        mine = [record for record in records if user in (None, record["user_id"])]
        found = store.report(user, first, last)
        assert found.total.by_code == Counter(record["status_code"] for record in mine)
        assert found.total.characters == sum(record["character_count"] or 0 for record in mine)
        days = Counter(record["started_at"] // DAY_MS for record in mine)
        assert {(figures.day or last).toordinal(): figures.requests for figures in found.days} == {
            date(1970, 1, 1).toordinal() + day: requests for day, requests in days.items()
        }
        times = sorted(record["total_ms"] for record in mine if record["status_code"] == RECOGNISED)
        for percent, ms in ((50, found.total.p50_ms), (95, found.total.p95_ms)):
            exact = times[-(-len(times) * percent // 100) - 1] if times else None
            assert ms == (None if exact is None else pytest.approx(exact, rel=0.02))


def test_a_finished_day_is_built_once_and_today_is_not(store: SqlStore, clock: FakeClock) -> None:
    store_them(store, row("one", clock), row("two", clock, user=2, code=14), row("gone", clock, user=GONE))
    assert_true_to_records(store, clock, 1, 2, GONE)
    assert built(store) == 0
    clock.advance(DAY_S)
    store_them(store, row("three", clock, ms=900))
    for _ in range(2):
        assert_true_to_records(store, clock, 1, 2, GONE)
        assert built(store) == 1
    used = {
        user.username: (user.requests, user.characters)
        for user in store.reports.usage_of_all(today(clock).replace(day=1), today(clock))
    }
    assert used == {"alice": (2, 20), "bob": (1, 0)}


def test_sums_of_all_users_follow_each_change_of_a_finished_day(store: SqlStore, clock: FakeClock) -> None:
    """The same object is asked, since it keeps what it has summed; more users than one statement reads."""
    for number in range(LISTED_AT_ONCE):
        store.users.add(f"user-{number}")
    newest = store.find(f"user-{number}")
    assert newest is not None
    reports, first = store.reports, today(clock)

    def pictures() -> dict[str, int]:
        used = reports.usage_of_all(first, today(clock))
        assert len(used) == LISTED_AT_ONCE + 2
        return {user.username: user.pictures for user in used if user.requests}

    early, late = row("one", clock), row("two", clock, user=newest.user_id)
    store_them(store, early)
    assert pictures() == {"alice": 1}
    clock.advance(DAY_S)
    reports.report(None, first, first)
    assert built(store) == 1
    assert pictures() == {"alice": 1}
    store_them(store, row("three", clock))
    assert pictures() == {"alice": 2}
    store_them(store, late)
    assert pictures() == {"alice": 2, newest.username: 1}
    first = today(clock)
    assert pictures() == {"alice": 1}


def test_records_that_come_late_correct_their_day(store: SqlStore, clock: FakeClock) -> None:
    early = [row("one", clock), row("of another day", clock, user=2)]
    early[1]["started_at"] = int(clock.now() * 1000) - DAY_MS
    late = [
        row("two", clock, ms=3000),
        row("new user", clock, user=GONE),
        row("three", clock, user=2, code=17),
    ]
    store_them(store, *early)
    clock.advance(DAY_S)
    assert_true_to_records(store, clock, 1, 2)
    assert built(store) == 2
    for _ in range(2):  # whatever comes twice counts once
        store_them(store, *late)
        assert_true_to_records(store, clock, 1, 2, GONE)


def test_a_request_that_ends_after_its_day_was_built_is_counted(store: SqlStore, clock: FakeClock) -> None:
    """Also one that was closed as lost in between, and then ends after all."""
    account = store.find("alice")
    assert account is not None
    store_them(store, row("one", clock))
    for name in ("nonce-0001", "nonce-0002"):
        store.admit(account, ocr_request(name), nonce_ttl_s=60)
    clock.advance(DAY_S)
    assert_true_to_records(store, clock, 1)
    store.finish(UsageRecord(id_of("nonce-0001"), "alice", 15, Elapsed(total=5)))
    assert_true_to_records(store, clock, 1)
    assert store.sweep() == 1
    assert_true_to_records(store, clock, 1)
    store.finish(UsageRecord(id_of("nonce-0002"), "alice", RECOGNISED, Elapsed(total=70), characters=9))
    assert_true_to_records(store, clock, 1)
    assert built(store) == 1


def test_a_record_moves_forward_on_a_built_day(store: SqlStore, clock: FakeClock) -> None:
    """As the mover stores them: running, then lost, then finished, perhaps with another start."""
    finished = row("one", clock)
    running = finished | {"finished_at": None, "status_code": None, "total_ms": None, "character_count": None}
    store_them(store, running, row("two", clock))
    clock.advance(DAY_S)
    assert_true_to_records(store, clock, 1)
    before_midnight = int(str(finished["started_at"])) - DAY_MS
    for later in (running | {"status_code": 5}, finished | {"started_at": before_midnight}, running):
        store_them(store, later)
        assert_true_to_records(store, clock, 1)


def test_a_purge_keeps_what_its_days_add_up_to(store: SqlStore, clock: FakeClock) -> None:
    """Also of the day that it cuts in two, and what comes late afterwards is added."""
    store_them(store, *(row(f"old {n}", clock, ms=n) for n in range(10)))
    clock.advance(DAY_S)
    store_them(store, row("morning", clock))
    cut = int(clock.now() * 1000) + 1
    late = row("later that day", clock, user=2)
    late["started_at"] = cut + 1
    store_them(store, late)
    clock.advance(2 * DAY_S)
    assert sum(purge(store.database, cut)) == 11
    assert [record["username"] for record in store.tail(10)] == ["bob"]

    first, last = date.fromordinal(today(clock).toordinal() - 3), today(clock)
    assert [figures.requests for figures in store.report(None, first, last).days] == [10, 2]
    late |= {"request_id": id_of("the latest"), "started_at": cut - 5}
    store_them(store, late)
    assert [figures.requests for figures in store.report(None, first, last).days] == [10, 3]
    assert store.report(1, first, last).total.p50_ms == 5
    assert built(store) == 2


def test_a_build_that_is_cut_short_is_resumed(store: SqlStore, clock: FakeClock) -> None:
    for day in range(5):
        store_them(store, row(f"{day}", clock))
        clock.advance(DAY_S)
    commits = iter(range(6))

    def power_cut(connection: Connection) -> None:
        if next(commits, None) is None:
            raise RuntimeError("a power cut")

    event.listen(Engine, "commit", power_cut)
    try:
        with pytest.raises(RuntimeError, match="a power cut"):
            store.upgrade()
    finally:
        event.remove(Engine, "commit", power_cut)
    assert 0 < built(store) < 5
    store.upgrade()
    assert built(store) == 5
    assert_true_to_records(store, clock, 1)


def test_a_record_of_an_open_transaction_is_not_missed(store: SqlStore, clock: FakeClock) -> None:
    store_them(store, row("one", clock))
    day = int(clock.now() * 1000) // DAY_MS
    late = row("two", clock)
    clock.advance(DAY_S)
    builder = threading.Thread(target=rollup.build, args=(store.database, day))
    with store.database.write() as connection:
        store_rows(connection, [late], now_ms=store._now_ms())
        builder.start()
        builder.join(0.5)
    builder.join()
    assert built(store) == 1
    assert_true_to_records(store, clock, 1)


def test_a_record_that_comes_while_its_day_is_read_makes_the_build_void(
    store: SqlStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often that happens: in the end late records wait for the build."""
    store_them(store, row("one", clock))
    names = iter(f"late {n}" for n in range(rollup.TRIES))
    summed = rollup._summed
    then = clock.now()

    def and_another_comes(connection: Connection, day: int) -> object:
        sums = summed(connection, day)
        if name := next(names, None):
            store_them(store, row(name, FakeClock(then)))
        return sums

    monkeypatch.setattr(rollup, "_summed", and_another_comes)
    clock.advance(DAY_S)
    rollup.build(store.database, int(then * 1000) // DAY_MS)
    assert len(store.tail(10)) == 1 + rollup.TRIES
    assert_true_to_records(store, clock, 1)
    assert built(store) == 1


def test_a_day_that_cannot_be_built_is_counted_by_its_records(
    store: SqlStore, make_store: MakeStore, clock: FakeClock
) -> None:
    """No build makes the report of a caller fail: it is left to the next one."""
    store_them(store, row("one", clock))
    then = today(clock)
    clock.advance(DAY_S)
    impatient = make_store(busy_timeout_ms=100)
    with store.database.write() as other:
        locked_day(other, int(clock.now() * 1000) // DAY_MS - 1, late=0)
        assert impatient.report(1, then, then).total.requests == 1
    assert built(store) == 0
    assert_true_to_records(impatient, clock, 1)
    assert built(store) == 1


def test_a_report_makes_no_late_record_wait(
    store: SqlStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While records of a day come all the time, as from a mover that catches up, it is left unbuilt."""
    store_them(store, row("one", clock))
    names = iter(f"late {n}" for n in range(100))
    summed = rollup._summed
    then = clock.now()

    def and_another_comes(connection: Connection, day: int) -> object:
        sums = summed(connection, day)
        store_them(store, row(next(names), FakeClock(then)))
        return sums

    with monkeypatch.context() as patched:
        patched.setattr(rollup, "_summed", and_another_comes)
        clock.advance(DAY_S)
        assert store.report(1, today(FakeClock(then)), today(clock)).total.requests == 1 + rollup.TRIES
    assert built(store) == 0
    assert_true_to_records(store, clock, 1)
    assert built(store) == 1


def test_a_day_settles_before_it_is_built(store: SqlStore, clock: FakeClock) -> None:
    store_them(store, row("one", clock))
    clock.advance(DAY_S - clock.now() % DAY_S + rollup.SETTLED_AFTER_MS // 1000 - 1)
    assert_true_to_records(store, clock, 1)
    store.upgrade()
    assert built(store) == 0
    clock.advance(1)
    assert_true_to_records(store, clock, 1)
    assert built(store) == 1


@pytest.mark.parametrize("backend", ["mysql"])
def test_a_report_may_take_longer_than_a_request(
    store: SqlStore, make_store: MakeStore, clock: FakeClock, mysql_server: MySqlServer
) -> None:
    store_them(store, row("one", clock))
    impatient = make_store(busy_timeout_ms=100, mysql_timeout_s=0.5)
    mine = 1, today(clock), today(clock)
    with ThreadPoolExecutor(1) as pool, mysql_server.paused():
        patient = pool.submit(impatient.reports_apart(1).report, *mine)
        with pytest.raises(DependencyUnavailable):
            impatient.report(*mine)
    assert patient.result().total.requests == 1


def test_many_build_and_store_at_once(store: SqlStore, make_store: MakeStore, clock: FakeClock) -> None:
    rows = [row(f"{n}", clock, user=n % 2 + 1, ms=n) for n in range(60)]
    store_them(store, *rows[:20])
    day = int(clock.now() * 1000) // DAY_MS
    clock.advance(DAY_S)

    def store_ten(n: int) -> None:
        store_them(make_store(), *rows[20 + n * 10 : 30 + n * 10])

    jobs: list[Callable[[], object]] = [partial(store_ten, n) for n in range(4)]
    jobs += [lambda: rollup.build(make_store().database, day)] * 4
    failed: list[BaseException] = []

    def attempt(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=attempt, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert built(store) == 1
    assert_true_to_records(store, clock, 1, 2)


@pytest.fixture
def empty(request: pytest.FixtureRequest, backend: str, make_store: MakeStore) -> Iterator[SqlStore]:
    """On a database without tables."""
    server: MySqlServer | None = request.getfixturevalue("mysql_server") if backend == "mysql" else None
    if server:
        server.drop_tables()
    yield make_store()
    if server:
        server.drop_tables()


def test_an_upgrade_builds_the_days_that_there_are(empty: SqlStore, clock: FakeClock) -> None:
    as_before(empty, "0003")
    clock.advance(DAY_S)
    empty.upgrade()
    assert built(empty) == 1
    assert_true_to_records(empty, clock, 1)
    with empty.database.write() as connection:  # and they are what is reported from now on
        connection.execute(delete(usage_records))
        assert set(connection.scalars(select(usage_days.c.user_id))) == {EVERYBODY, 1}
    assert empty.report(1, today(FakeClock()), today(clock)).total.requests == 1
