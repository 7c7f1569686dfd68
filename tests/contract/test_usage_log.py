"""The UsageLog port: a record ends once, and gives back what a failure must not cost."""

from __future__ import annotations

import pytest

from app.errors import QuotaExhausted
from app.model.reading import Elapsed, PictureInfo
from app.model.usage import RECOGNISED, UsageRecord
from app.state.sql.store import SqlStore
from tests.contract.state import State, id_of, ocr_request, used
from tests.fakes import FakeClock

PICTURE = PictureInfo(width=463, height=1013, format="JPEG", sha256="ab" * 32)
FAILED = 14


def record(status_code: int, nonce: str = "nonce-0001") -> UsageRecord:
    return UsageRecord(id_of(nonce), "alice", status_code)


def admitted(state: State, *, quota_limit: int | None = 1) -> None:
    state.add_user("alice", quota_limit=quota_limit)
    state.admission.admit(state.account(), ocr_request(), nonce_ttl_s=60)


def test_a_recognised_picture_is_charged(state: State) -> None:
    admitted(state)
    state.usage.finish(record(RECOGNISED))

    assert state.used("alice") == 1
    with pytest.raises(QuotaExhausted):
        state.admission.admit(state.account(), ocr_request("nonce-0002"), nonce_ttl_s=60)


def test_a_failure_gives_the_quota_back_but_not_the_nonce(state: State) -> None:
    admitted(state)
    state.usage.finish(record(FAILED))

    assert state.used("alice") == 0
    quota = state.admission.admit(state.account(), ocr_request("nonce-0002"), nonce_ttl_s=60)
    assert quota.remaining == 0


@pytest.mark.parametrize("first", [RECOGNISED, FAILED])
@pytest.mark.parametrize("second", [RECOGNISED, FAILED])
def test_only_the_first_end_counts(state: State, first: int, second: int) -> None:
    admitted(state, quota_limit=None)
    state.usage.finish(record(first))
    for _ in range(2):
        state.usage.finish(record(second))

    assert state.used("alice") == (first == RECOGNISED)


def test_the_end_of_a_request_that_was_not_admitted_is_a_bug(state: State) -> None:
    state.add_user("alice")

    with pytest.raises(LookupError, match=id_of("nonce-0001")):
        state.usage.finish(record(RECOGNISED))
    assert state.used("alice") == 0


def test_what_happened_is_written_down(store: SqlStore, clock: FakeClock) -> None:
    store.users.add("alice")
    started = clock.now()
    store.admit(store.find("alice"), ocr_request(), nonce_ttl_s=60)  # type: ignore[arg-type]
    (running,) = store.tail(10)
    clock.advance(0.871)
    elapsed = Elapsed(queue=3, fetch=41, decode=9, ocr=812, total=871)
    store.finish(
        UsageRecord(id_of("nonce-0001"), "alice", RECOGNISED, elapsed, PICTURE, lines=2, characters=23)
    )

    assert (running["status_code"], running["finished_at"], running["charged"]) == (None, None, True)
    assert store.tail(10) == [
        {
            "request_id": id_of("nonce-0001"),
            "user_id": 1,
            "username": "alice",
            "started_at": started * 1000,
            "finished_at": started * 1000 + 871,
            "status_code": RECOGNISED,
            "charged": True,
            "picture_sha256": "ab" * 32,
            "picture_width": 463,
            "picture_height": 1013,
            "picture_format": "JPEG",
            "line_count": 2,
            "character_count": 23,
            "queue_ms": 3,
            "fetch_ms": 41,
            "decode_ms": 9,
            "ocr_ms": 812,
            "total_ms": 871,
            "text_sha256": None,
            "text": None,
        }
    ]


def test_the_tail_is_the_newest_first(store: SqlStore, clock: FakeClock) -> None:
    store.users.add("alice")
    account = store.find("alice")
    assert account is not None
    for number in range(5):
        store.admit(account, ocr_request(f"nonce-{number}"), nonce_ttl_s=60)
        clock.advance(1)

    assert [row["request_id"] for row in store.tail(2)] == [id_of("nonce-4"), id_of("nonce-3")]


class TestLostRecord:
    """A record whose worker died: abandoned_after_s is 120 here."""

    @pytest.fixture(autouse=True)
    def running(self, store: SqlStore) -> None:
        store.users.add("alice", quota_limit=1)
        self.admit(store, "nonce-0001")

    def admit(self, store: SqlStore, nonce: str) -> None:
        account = store.find("alice")
        assert account is not None
        store.admit(account, ocr_request(nonce), nonce_ttl_s=300)

    def test_is_closed_by_the_sweep_once(self, store: SqlStore, clock: FakeClock) -> None:
        clock.advance(120)
        assert store.sweep() == 0
        clock.advance(1)
        assert store.sweep() == 1
        assert store.sweep() == 0

        assert used(store) == 0
        (row,) = store.tail(10)
        assert (row["status_code"], row["finished_at"], row["charged"]) == (5, None, False)

    def test_is_closed_by_the_next_admission(self, store: SqlStore, clock: FakeClock) -> None:
        clock.advance(119)
        with pytest.raises(QuotaExhausted):
            self.admit(store, "nonce-0002")
        clock.advance(2)
        self.admit(store, "nonce-0002")

        assert used(store) == 1
        assert [row["status_code"] for row in store.tail(10)] == [None, 5]

    def test_is_not_closed_once_finished(self, store: SqlStore, clock: FakeClock) -> None:
        store.finish(record(RECOGNISED))
        clock.advance(1000)

        assert store.sweep() == 0
        assert used(store) == 1

    def test_late_success_is_charged_again(self, store: SqlStore, clock: FakeClock) -> None:
        clock.advance(121)
        store.sweep()
        store.finish(record(RECOGNISED))
        store.finish(record(RECOGNISED))

        assert used(store) == 1
        assert store.tail(1)[0]["status_code"] == RECOGNISED

    def test_late_success_may_exceed_the_limit(self, store: SqlStore, clock: FakeClock) -> None:
        clock.advance(121)
        self.admit(store, "nonce-0002")
        store.finish(record(RECOGNISED))
        store.finish(record(RECOGNISED, "nonce-0002"))

        assert used(store) == 2
        with pytest.raises(QuotaExhausted):
            self.admit(store, "nonce-0003")

    def test_late_failure_gives_nothing_back_twice(self, store: SqlStore, clock: FakeClock) -> None:
        clock.advance(121)
        store.sweep()
        store.finish(record(FAILED))

        assert used(store) == 0
        assert store.tail(1)[0]["status_code"] == FAILED
