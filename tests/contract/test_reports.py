"""Reports and retention, over records of known times."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from app.errors import NonceReplayed, RateLimited
from app.model.usage import RECOGNISED, UsageFigures
from app.state.sql.records import store as store_rows
from app.state.sql.retention import BATCH, expired, purge
from app.state.sql.store import SqlStore
from tests.contract.conftest import MakeStore
from tests.contract.state import id_of, ocr_request
from tests.fakes import FakeClock

FIRST, LAST = date(2026, 2, 27), date(2026, 3, 2)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(autouse=True)
def people(store: SqlStore) -> None:
    for name in ("alice", "bob"):
        store.users.add(name)


def records(store: SqlStore, *rows: tuple[str, int, int | None], user: int = 1) -> None:
    """(start, status code, total_ms) each; a recognised one has ten characters."""
    known = len(store.tail(10_000))
    made: list[dict[str, Any]] = [
        {
            "request_id": id_of(f"{known + number}"),
            "user_id": user,
            "username": ["alice", "bob"][user - 1],
            "started_at": ms(at),
            "finished_at": ms(at) + 1,
            "status_code": code,
            "total_ms": total_ms,
            "character_count": 10 if code == RECOGNISED else 0,
        }
        for number, (at, code, total_ms) in enumerate(rows)
    ]
    with store.database.write() as connection:
        assert store_rows(connection, made).refused == {}


def test_days_are_those_of_utc_and_both_ends_are_included(store: SqlStore) -> None:
    records(
        store,
        ("2026-02-26 23:59:59.999", RECOGNISED, 1),
        ("2026-02-27 00:00:00.000", RECOGNISED, 2),
        ("2026-02-28 23:59:59.999", 14, 3),
        ("2026-03-02 23:59:59.999", RECOGNISED, 4),
        ("2026-03-03 00:00:00.000", RECOGNISED, 5),
    )

    found = store.report(None, FIRST, LAST)

    assert [figures.day for figures in found.days] == [FIRST, date(2026, 2, 28), LAST]
    assert found.days[1] == UsageFigures(date(2026, 2, 28), 1, {14: 1}, 0, 0, None, None)
    assert found.total == UsageFigures(None, 3, {RECOGNISED: 2, 14: 1}, 2, 20, 2, 4)


def test_times_are_those_of_pictures_that_were_read(store: SqlStore) -> None:
    records(store, *(("2026-03-01 10:00:00", RECOGNISED, number) for number in range(1, 101)))
    records(store, *(("2026-03-01 10:00:00", 17, 100_000) for _ in range(50)))
    records(store, ("2026-03-02 10:00:00", RECOGNISED, 7))

    found = store.report(None, FIRST, LAST)

    assert [(figures.p50_ms, figures.p95_ms) for figures in found.days] == [(50, 95), (7, 7)]
    assert (found.total.p50_ms, found.total.p95_ms) == (50, 95)
    assert found.days[0].by_code == {RECOGNISED: 100, 17: 50}


def test_a_report_on_one_user_has_no_other(store: SqlStore) -> None:
    records(store, ("2026-03-01 10:00:00", RECOGNISED, 1))
    records(store, ("2026-03-01 10:00:00", RECOGNISED, 9), user=2)

    assert store.report(2, FIRST, LAST).total.p50_ms == 9
    assert store.patient_report("bob", FIRST, LAST).total.requests == 1
    assert store.report(None, FIRST, LAST).total.requests == 2


def test_without_records_there_are_no_figures(store: SqlStore, clock: FakeClock) -> None:
    account = store.find("alice")
    assert account is not None
    store.admit(account, ocr_request(), nonce_ttl_s=60)  # it runs
    today = datetime.fromtimestamp(clock.now(), UTC).date()

    found = store.report(None, today, today)

    assert found.days == ()
    assert found.total == UsageFigures(None, 0, {}, 0, 0, None, None)


def test_old_records_are_deleted_in_batches_and_what_was_used_stays(store: SqlStore) -> None:
    old = 2 * BATCH + 1
    records(store, *(("2026-02-01 10:00:00", RECOGNISED, 1) for _ in range(old)))
    records(store, ("2026-03-01 10:00:00", RECOGNISED, 1))
    before = ms("2026-03-01 00:00:00")

    assert expired(store.database, before) == old
    assert list(purge(store.database, before)) == [BATCH, BATCH, 1]

    assert expired(store.database, before) == 0
    assert list(purge(store.database, before)) == []
    assert len(store.tail(10)) == 1
    assert store.users.list()[0].quota_used == old + 1


def test_a_record_that_runs_is_not_deleted(store: SqlStore, clock: FakeClock) -> None:
    account = store.find("alice")
    assert account is not None
    store.admit(account, ocr_request(), nonce_ttl_s=60)

    assert list(purge(store.database, int(clock.now() * 1000) + 1)) == []
    assert len(store.tail(10)) == 1


def test_a_nonce_is_spent_without_quota_or_record(make_store: MakeStore) -> None:
    store = make_store(rate_burst=2)
    store.users.set_quota("alice", 1)
    account = store.find("alice")
    assert account is not None
    store.spend_nonce(account, ocr_request("nonce-0001"), nonce_ttl_s=60)
    with pytest.raises(NonceReplayed):
        store.spend_nonce(account, ocr_request("nonce-0001", request_id="another"), nonce_ttl_s=60)
    store.spend_nonce(account, ocr_request("nonce-0002"), nonce_ttl_s=60)
    with pytest.raises(RateLimited):
        store.spend_nonce(account, ocr_request("nonce-0003"), nonce_ttl_s=60)

    assert store.tail(10) == []
    assert store.users.quota("alice").remaining == 1
