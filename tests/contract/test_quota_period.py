"""A quota per day or month: only requests that started in the current period count."""

from __future__ import annotations

import pytest

from app.errors import QuotaExhausted
from app.model.account import Quota
from app.model.usage import RECOGNISED, UsageRecord
from app.state.sql.records import store as store_rows
from app.state.sql.store import SqlStore
from tests.contract.state import id_of, ocr_request
from tests.fakes import FakeClock

DAY = 86_400
MONDAY = 20_834 * DAY  # 2027-01-16; noon is when the tests begin


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(MONDAY + DAY / 2)


@pytest.fixture(autouse=True)
def alice(store: SqlStore) -> None:
    store.users.add("alice", quota_limit=2, quota_period="day")


def admit(store: SqlStore, nonce: str) -> Quota:
    account = store.find("alice")
    assert account is not None
    return store.admit(account, ocr_request(nonce), nonce_ttl_s=60)


def end(store: SqlStore, nonce: str, status_code: int = RECOGNISED) -> None:
    store.finish(UsageRecord(id_of(nonce), "alice", status_code))


def used(store: SqlStore) -> int:
    return store.users.list()[0].quota_used


def test_a_new_day_grants_a_new_quota(store: SqlStore, clock: FakeClock) -> None:
    assert [admit(store, nonce).remaining for nonce in ("one", "two")] == [1, 0]
    with pytest.raises(QuotaExhausted) as refused:
        admit(store, "three")
    assert refused.value.retry_after == DAY / 2

    clock.advance(DAY / 2)
    assert used(store) == 0
    assert [admit(store, nonce).remaining for nonce in ("three", "four")] == [1, 0]
    assert used(store) == 2


@pytest.mark.parametrize("late_end", [RECOGNISED, 14])
def test_what_ends_in_the_next_period_belongs_to_its_own(
    store: SqlStore, clock: FakeClock, late_end: int
) -> None:
    admit(store, "yesterday's")
    clock.advance(DAY / 2)
    admit(store, "today's")
    end(store, "yesterday's", late_end)

    assert used(store) == 1


def test_what_was_lost_in_the_last_period_gives_nothing_back(store: SqlStore, clock: FakeClock) -> None:
    admit(store, "yesterday's")
    clock.advance(DAY)
    admit(store, "today's")

    assert used(store) == 1
    assert [row["status_code"] for row in store.tail(2)] == [None, 5]


def test_a_change_of_the_period_counts_the_records_again(store: SqlStore, clock: FakeClock) -> None:
    for day in ("one", "two", "three"):
        admit(store, day)
        end(store, day)
        clock.advance(DAY)
    assert used(store) == 0

    assert store.users.set_quota("alice", 10, "month").quota_used == 3
    assert store.users.set_quota("alice", 10, "none").quota_used == 3
    assert admit(store, "four") == Quota(10, 6)
    assert store.users.set_quota("alice", 20).quota_used == 4
    assert store.users.set_quota("alice", 20, "day").quota_used == 1


def test_stored_rows_belong_to_the_period_in_which_they_started(store: SqlStore, clock: FakeClock) -> None:
    today = int(clock.now() * 1000)

    def row(name: str, started_at: int) -> dict[str, object]:
        return {"request_id": id_of(name), "user_id": 1, "username": "alice", "started_at": started_at}

    def stored(*rows: dict[str, object]) -> int:
        with store.database.write() as connection:
            assert not store_rows(connection, rows).refused
        return used(store)

    tomorrow = today + DAY * 1000
    assert stored(row("one", today)) == 1
    assert stored(row("of yesterday", today - DAY * 1000)) == 1
    assert stored(row("two", today), row("of yesterday, too", today - DAY * 1000)) == 2
    ended = row("two", today) | {"status_code": 14, "finished_at": today}
    assert stored(ended) == 1
    clock.advance(DAY)
    assert stored(row("of tomorrow", tomorrow), row("late", today)) == 1
    assert stored(row("one", today) | {"status_code": 14, "finished_at": today}) == 1
