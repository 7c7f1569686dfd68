"""Redis in front of the database: what the ports' contract leaves to it."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import DataError

from app.authenticate import SignaturePolicy, authenticate
from app.errors import (
    DependencyUnavailable,
    NonceReplayed,
    QuotaExhausted,
    RateLimited,
    ServiceError,
    SignWrong,
    TimestampExpired,
)
from app.limits.rate import Rate
from app.model.account import Account, CachedAccount, Quota
from app.model.usage import RECOGNISED, UsageRecord
from app.state.redis_front import dead_letters
from app.state.redis_front.accounts import REFRESH_PAUSE_S, REREAD_AFTER_S, CachedAccounts
from app.state.redis_front.client import RedisLink
from app.state.redis_front.health import backlog
from app.state.redis_front.mover import IDLE_S
from app.state.redis_front.pending import PendingUsage
from app.state.sql.store import SqlStore
from app.system.clock import SystemClock
from tests.contract.conftest import MakeStore
from tests.contract.state import RedisStore, id_of, ocr_request, used
from tests.fakes import FakeClock
from tests.servers import RedisServer, free_port, which

FAILED = 14


@pytest.fixture
def backend() -> str:
    return "sqlite"


def admit(store: RedisStore, nonce: str = "nonce-0001", *, ttl: float = 60, request_id: str = "") -> Quota:
    account = store.accounts.find("alice")
    assert account is not None
    return store.state.admit(account, ocr_request(nonce, request_id=request_id), nonce_ttl_s=ttl)


def milliseconds(link: RedisLink) -> int:
    """Redis's own time."""
    seconds, microseconds = map(int, link.ask("TIME"))
    return seconds * 1000 + microseconds // 1000


def finish(store: RedisStore, nonce: str = "nonce-0001", status_code: int = RECOGNISED) -> None:
    store.state.finish(UsageRecord(id_of(nonce), "alice", status_code))


def outcome(store: RedisStore, nonce: str, request_id: str) -> str:
    try:
        admit(store, nonce, request_id=request_id)
    except ServiceError as error:
        return error.error
    return "admitted"


@pytest.mark.parametrize(("same_nonce", "refusal"), [(False, "quota_exhausted"), (True, "nonce_replayed")])
def test_of_fifty_at_once_one_is_admitted(redis_store: RedisStore, same_nonce: bool, refusal: str) -> None:
    redis_store.sql.users.add("alice", quota_limit=1)
    with ThreadPoolExecutor(50) as pool:
        counted = Counter(
            pool.map(lambda n: outcome(redis_store, "same" if same_nonce else f"n-{n}", f"{n}"), range(50))
        )
    assert counted == {"admitted": 1, refusal: 49}
    assert redis_store.used() == 1


def test_a_nonce_expires_exactly_after_its_lifetime(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice")
    key = "ocr:nonce:1:nonce-0001"
    before = milliseconds(redis_store.link)
    admit(redis_store, ttl=60, request_id="first")
    after = milliseconds(redis_store.link)
    assert before + 60_000 <= int(redis_store.link.ask("PEXPIRETIME", key)) <= after + 60_000
    with pytest.raises(NonceReplayed):
        admit(redis_store, request_id="second")
    redis_store.link.ask("PEXPIRE", key, 1)
    await_true(lambda: not redis_store.link.ask("EXISTS", key))
    admit(redis_store, request_id="second")


def test_the_rate_spends_no_nonce_and_comes_after_it(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice", quota_limit=5)
    redis_store.state._rate = Rate(per_minute=6, burst=3)
    for number in range(3):
        admit(redis_store, f"burst-{number}")
    with pytest.raises(NonceReplayed):  # checked before the rate
        admit(redis_store, "burst-0", request_id="another")
    with pytest.raises(RateLimited) as refused:
        admit(redis_store, "too-early")
    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 10
    redis_store.link.ask("DECRBY", "ocr:rate:1", 10_000_000)  # as if so many microseconds were over
    admit(redis_store, "too-early")  # its nonce was not spent by the refusal
    assert redis_store.used() == 4


def test_rows_of_before_are_counted_when_redis_does_not_know_them(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice", quota_limit=3)
    for nonce in ("one", "two"):
        admit(redis_store, nonce)
        finish(redis_store, nonce)
    assert redis_store.mover().move() == 2
    redis_store.link.ask("FLUSHALL")
    redis_store.link.ask("HSET", "ocr:epoch", "id", "new", "opens_ms", 0)
    assert admit(redis_store, "three") == Quota(3, 0)
    with pytest.raises(QuotaExhausted):
        admit(redis_store, "four")


def test_each_period_grants_a_new_quota(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice", quota_limit=2, quota_period="day")
    clock = FakeClock()
    redis_store.state._clock = clock
    for nonce in ("yesterday-1", "yesterday-2"):
        assert admit(redis_store, nonce)
    with pytest.raises(QuotaExhausted) as refused:
        admit(redis_store, "too-many")
    assert refused.value.retry_after == 86_400 - clock.now() % 86_400
    clock.advance(86_400)
    assert admit(redis_store, "today-1") == Quota(2, 1)
    for nonce in ("yesterday-1", "today-1"):
        finish(redis_store, nonce)
    redis_store.mover().move()
    assert admit(redis_store, "today-2") == Quota(2, 0)


def test_what_was_used_under_another_period_is_counted_when_the_first_one_returns(
    redis_store: RedisStore,
) -> None:
    redis_store.sql.users.add("alice", quota_limit=3)
    users = redis_store.sql.users
    redis_store.state._clock = redis_store.sql._clock  # that of the periods
    for nonce, period in (("one", "day"), ("two", "none")):
        admit(redis_store, nonce)
        finish(redis_store, nonce)
        redis_store.mover().move()
        users.set_quota("alice", 3, period)  # type: ignore[arg-type]
        time.sleep(0.6)  # as long as a process keeps a user
    (expiring,) = redis_store.link.ask("KEYS", "ocr:quota:1:day:*")
    assert int(redis_store.link.ask("PTTL", expiring)) > 0
    assert admit(redis_store, "three") == Quota(3, 0)
    with pytest.raises(QuotaExhausted):
        admit(redis_store, "four")


def test_what_is_kept_of_a_period_ends_after_it_for_users_without_limit_too(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice", quota_period="day")
    admit(redis_store)
    finish(redis_store)
    redis_store.mover().move()
    (key,) = redis_store.link.ask("KEYS", "ocr:quota:*")
    assert 0 < int(redis_store.link.ask("PTTL", key)) <= 2 * 86_400_000


def test_what_waits_on_the_stream_or_the_disk_is_counted_once(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice", quota_limit=10)
    for nonce in ("row", "stream", "disk"):
        admit(redis_store, nonce)
    finish(redis_store, "row")
    redis_store.mover().move()
    finish(redis_store, "stream")
    redis_store.spool.add(replace_row(redis_store, "disk"))
    assert redis_store.used() == 3

    redis_store.link.ask("DEL", "ocr:quota:1:none:0")  # so that the rows are counted again
    assert admit(redis_store, "next").remaining == 6
    assert len(redis_store.spool) == 0
    while redis_store.mover().move():
        pass
    assert redis_store.used() == 4
    finish(redis_store, "next")
    redis_store.mover().move()
    assert redis_store.used() == used(redis_store.sql) == 4


def replace_row(store: RedisStore, nonce: str, status_code: int = RECOGNISED) -> PendingUsage:
    """The record of a request that runs, as if it had ended so while Redis was away."""
    running = store.state._running.pop(id_of(nonce))
    return running.updated(status_code=status_code, finished_at=running.row["started_at"] + 1)


def test_a_record_that_comes_twice_is_one_row_and_counted_once(redis_store: RedisStore) -> None:
    """As where Redis took it, but could not say so: it is spooled as well."""
    redis_store.sql.users.add("alice", quota_limit=10)
    admit(redis_store)
    ended = replace_row(redis_store, "nonce-0001")
    redis_store.state.close(ended)
    redis_store.spool.add(ended)
    redis_store.mover().move()
    redis_store.spool.add(ended)
    while redis_store.mover().move():
        pass
    assert admit(redis_store, "next").remaining == 8
    assert len(redis_store.sql.tail(10)) == 1
    assert used(redis_store.sql) == 1


@pytest.fixture
def bad_spool(redis_store: RedisStore, tmp_path: Path) -> Path:
    """Before a good record there lie one of another release, one that is no text, and a folder."""
    redis_store.sql.users.add("alice", quota_limit=9)
    admit(redis_store)
    redis_store.spool.add(replace_row(redis_store, "nonce-0001"))
    folder = tmp_path / "spool"
    (good,) = folder.iterdir()
    fields = json.loads(good.read_text())
    (folder / "0-a.json").write_text(json.dumps({**fields, "row": {"request_id": "a"}}))
    (folder / "0-b.json").write_bytes(b"\xff")
    (folder / "0-c.json").mkdir()
    return folder


def test_a_bad_file_in_the_spool_holds_up_no_other(redis_store: RedisStore, bad_spool: Path) -> None:
    redis_store.mover().move()
    assert used(redis_store.sql) == 1
    assert sorted(file.name for file in bad_spool.iterdir()) == ["0-a.bad", "0-b.bad", "0-c.bad"]
    assert redis_store.spool.put_aside() == 3


def test_a_bad_file_in_the_spool_holds_up_no_admission(redis_store: RedisStore, bad_spool: Path) -> None:
    redis_store.link.ask("DEL", "ocr:quota:1:none:0")
    assert admit(redis_store, "next").remaining == 7


def test_a_spool_that_cannot_be_emptied_holds_up_no_stream(
    redis_store: RedisStore, bad_spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", read_only)  # chmod stops no root
    admit(redis_store, "streamed")
    finish(redis_store, "streamed")
    mover = redis_store.mover()
    assert mover.move() == 1
    with pytest.raises(DependencyUnavailable, match="Permission denied"):
        redis_store.state.drain_spool()
    redis_store.link.ask("DEL", "ocr:quota:1:none:0")
    with pytest.raises(DependencyUnavailable):
        admit(redis_store, "next")


def test_a_request_empties_only_a_small_spool_and_only_in_its_time(
    redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_store.sql.users.add("alice", quota_limit=9)
    for nonce in ("one", "two"):
        admit(redis_store, nonce)
        redis_store.spool.add(replace_row(redis_store, nonce))
    redis_store.link.ask("DEL", "ocr:quota:1:none:0")
    monkeypatch.setattr("app.state.redis_front.row_count.MAX_SPOOLED", 1)
    with pytest.raises(DependencyUnavailable, match="spool") as refused:
        admit(redis_store, "next")
    assert refused.value.retry_after == 10

    monkeypatch.undo()
    account = redis_store.accounts.find("alice")
    assert account is not None
    with pytest.raises(DependencyUnavailable, match="no time"):
        redis_store.state.admit(account, ocr_request("next"), nonce_ttl_s=60, deadline=time.monotonic())
    assert len(redis_store.spool) == 2
    assert admit(redis_store, "next").remaining == 6


def test_a_failure_is_a_row_and_not_charged(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice", quota_limit=1)
    admit(redis_store)
    finish(redis_store, status_code=FAILED)
    redis_store.mover().move()
    assert [row["status_code"] for row in redis_store.sql.tail(10)] == [FAILED]
    assert redis_store.used() == used(redis_store.sql) == 0


def test_an_admission_that_comes_too_late_does_nothing(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice", quota_limit=1)
    redis_store.state._redis_clock.now_ms = lambda: 1000  # type: ignore[method-assign]
    with pytest.raises(DependencyUnavailable, match="late"):
        admit(redis_store)
    assert sorted(redis_store.link.ask("KEYS", "*")) == ["ocr:accounts", "ocr:epoch"]


def test_the_spool_closes_an_admission_whose_answer_was_lost(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice", quota_limit=2)
    admit(redis_store)
    running = redis_store.state._running["never mind"] = redis_store.state._running.pop(id_of("nonce-0001"))
    redis_store.state._undo(running)
    never = running.updated(request_id=id_of("never"))
    redis_store.state._undo(never)
    assert len(redis_store.spool) == 2
    while redis_store.mover().move():
        pass
    assert [row["status_code"] for row in redis_store.sql.tail(10)] == [18]
    assert admit(redis_store, "next").remaining == 1


def test_a_request_lost_with_its_worker_is_closed_and_may_still_succeed(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice", quota_limit=1)
    admit(redis_store)
    (member,) = redis_store.link.ask("ZRANGE", "ocr:open", 0, -1)
    redis_store.link.ask("ZADD", "ocr:open", int((time.time() - 200) * 1000), member)
    redis_store.mover().move()
    (row,) = redis_store.sql.tail(10)
    assert (row["status_code"], row["finished_at"], row["charged"]) == (5, None, False)
    assert redis_store.used() == 0

    admit(redis_store, "next")
    finish(redis_store)  # late, and over the limit: the caller has its text
    finish(redis_store, "next")
    redis_store.mover().move()
    assert redis_store.used() == used(redis_store.sql) == 2
    with pytest.raises(QuotaExhausted):
        admit(redis_store, "another")


class TestEmptied:
    """An emptied Redis has forgotten which nonces were used."""

    def signed(self, store: RedisStore, seconds: float) -> None:
        account = store.accounts.find("alice")
        assert account is not None
        stamped = replace(ocr_request(), timestamp=int(time.time() + seconds))
        store.state.admit(account, stamped, nonce_ttl_s=60)

    @pytest.mark.parametrize("seconds", [-299, 0, 59])
    def test_refuses_what_may_have_been_used_before(self, redis_store: RedisStore, seconds: float) -> None:
        redis_store.sql.users.add("alice")
        redis_store.link.ask("FLUSHALL")
        with pytest.raises(DependencyUnavailable) as refused:
            self.signed(redis_store, seconds)
        assert refused.value.retry_after is not None
        assert 50 <= refused.value.retry_after <= 62
        redis_store.link.ask("HINCRBY", "ocr:epoch", "opens_ms", -30_000)
        with pytest.raises(DependencyUnavailable):
            self.signed(redis_store, -5)

    def test_opens_after_the_window_to_what_is_signed_since(self, redis_store: RedisStore) -> None:
        redis_store.sql.users.add("alice")
        redis_store.link.ask("FLUSHALL")
        redis_store.state.open_epoch()
        redis_store.link.ask("HINCRBY", "ocr:epoch", "opens_ms", -70_000)
        with pytest.raises(TimestampExpired):
            self.signed(redis_store, -20)
        self.signed(redis_store, 0)

    def test_is_open_at_once_where_there_is_no_user_who_could_have_signed(
        self, redis_store: RedisStore
    ) -> None:
        redis_store.sql.users.add("alice")
        self.signed(redis_store, 0)

    def test_refuses_signatures_without_a_time_as_long_as_their_nonces_are_kept(
        self, redis_store: RedisStore
    ) -> None:
        redis_store.sql.users.add("alice")
        redis_store.link.ask("FLUSHALL")
        with pytest.raises(DependencyUnavailable) as refused:
            admit(redis_store, ttl=86_400)
        assert refused.value.retry_after is not None
        assert refused.value.retry_after > 86_400

    def test_believes_no_time_that_the_signature_does_not_cover(self, redis_store: RedisStore) -> None:
        """Anybody may write a fresh one into a captured body of the original scheme."""
        redis_store.sql.users.add("alice")
        account = redis_store.accounts.find("alice")
        assert account is not None
        redis_store.link.ask("FLUSHALL")
        redis_store.state.open_epoch()
        redis_store.link.ask("HINCRBY", "ocr:epoch", "opens_ms", -70_000)
        for seconds in (0, -20):
            stamped = replace(ocr_request(), timestamp=int(time.time()) + seconds, legacy=True)
            with pytest.raises(DependencyUnavailable) as refused:
                redis_store.state.admit(account, stamped, nonce_ttl_s=86_400)
            assert refused.value.retry_after is not None
            assert refused.value.retry_after > 86_000

    @pytest.mark.parametrize("before_s", [0, 1])
    def test_opens_to_the_second(self, redis_store: RedisStore, before_s: int) -> None:
        redis_store.sql.users.add("alice")
        account = redis_store.accounts.find("alice")
        assert account is not None
        opens_s = int(time.time())
        redis_store.link.ask("HSET", "ocr:epoch", "opens_ms", opens_s * 1000)
        stamped = replace(ocr_request(), timestamp=opens_s - before_s)
        refused = pytest.raises(TimestampExpired) if before_s else nullcontext()
        with refused:
            redis_store.state.admit(account, stamped, nonce_ttl_s=60)


class TestTenThousandReplays:
    """None is admitted, whatever happened to Redis since the body was used."""

    COUNT, PARTS = 10_000, 5

    def admit(self, store: RedisStore, timestamp: int, name: str = "") -> Quota:
        account = store.accounts.find("alice")
        assert account is not None
        request = replace(ocr_request(request_id=name), timestamp=timestamp)
        return store.state.admit(account, request, nonce_ttl_s=timestamp + 301 - time.time())

    def replay(self, store: RedisStore, timestamp: int, at_once: int) -> Counter[str]:
        def again(number: int) -> str:
            try:
                self.admit(store, timestamp, f"replay {number}")
            except ServiceError as error:
                return error.error
            return "admitted"

        with ThreadPoolExecutor(at_once) as pool:
            return Counter(pool.map(again, range(self.COUNT // self.PARTS)))

    @pytest.mark.parametrize("ahead_s", [0, 59])
    def test_of_one_body(self, redis_store: RedisStore, redis_server: RedisServer, ahead_s: int) -> None:
        redis_store.sql.users.add("alice")
        stamp = int(time.time()) + ahead_s
        assert self.admit(redis_store, stamp)
        replays = self.COUNT // self.PARTS

        assert self.replay(redis_store, stamp, 1) == {"nonce_replayed": replays}
        assert self.replay(redis_store, stamp, 20) == {"nonce_replayed": replays}
        redis_server.stop()  # and started again with its file
        redis_server.start()
        await_true(lambda: answers(redis_store.link))
        assert self.replay(redis_store, stamp, 20) == {"nonce_replayed": replays}
        redis_server.stop()  # and without it
        redis_server.drop_file()
        redis_server.start()
        await_true(lambda: answers(redis_store.link))
        assert self.replay(redis_store, stamp, 20) == {"dependency_unavailable": replays}

    @pytest.mark.parametrize("ahead_s", [0, 59])
    def test_of_one_body_after_redis_was_emptied(self, redis_store: RedisStore, ahead_s: int) -> None:
        redis_store.sql.users.add("alice")
        stamp = int(time.time()) + ahead_s
        assert self.admit(redis_store, stamp)
        redis_store.link.ask("FLUSHALL")
        replays = self.COUNT // self.PARTS
        assert self.replay(redis_store, stamp, 20) == {"dependency_unavailable": replays}
        redis_store.link.ask("HINCRBY", "ocr:epoch", "opens_ms", -61_000)  # as if that minute were over
        assert self.replay(redis_store, stamp - 61, 20) == {"timestamp_expired": replays}


def await_true(condition: Callable[[], object], within_s: float = 30) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not come true in time"
        time.sleep(0.01)


def answers(link: RedisLink) -> bool:
    """Whether Redis answers and accepts writes."""
    with suppress(DependencyUnavailable):
        link.ask("INCR", "asked")
        return True
    return False


class TestMover:
    def test_a_row_that_cannot_be_stored_becomes_a_dead_letter_with_its_error(
        self, redis_store: RedisStore
    ) -> None:
        redis_store.sql.users.add("alice", quota_limit=3)
        for nonce in ("good", "bad"):
            admit(redis_store, nonce)
        bad = replace_row(redis_store, "bad")
        redis_store.state.close(bad.updated(picture_width=-1))
        redis_store.link.ask("XADD", "ocr:usage", "*", "entry", "no JSON")
        other_release = {**json.loads(bad.as_json()), "row": {"request_id": bad.request_id}}
        redis_store.link.ask("XADD", "ocr:usage", "*", "entry", json.dumps(other_release))
        redis_store.link.ask("ZADD", "ocr:open", 1, "of another release")
        finish(redis_store, "good")
        assert redis_store.mover().move() == 4

        dead = [fields for _, fields in redis_store.link.ask("XRANGE", "ocr:usage:dead", "-", "+")]
        assert sorted(fields[3].split(":")[0] for fields in dead) == ["not a record"] * 2 + ["picture_width"]
        assert redis_store.link.ask("ZCARD", "ocr:open") == 0
        (kept,) = (json.loads(f[1]) for f in dead if f[3].startswith("picture_width"))
        assert kept["row"]["picture_width"] == -1
        assert redis_store.link.ask("XLEN", "ocr:usage") == 0
        assert redis_store.used() == used(redis_store.sql) == 1

    def test_makes_its_group_again_after_redis_was_emptied(self, redis_store: RedisStore) -> None:
        redis_store.sql.users.add("alice")
        mover = redis_store.mover()
        mover.move()
        redis_store.link.ask("FLUSHALL")
        redis_store.state.open_epoch()
        redis_store.link.ask("HSET", "ocr:epoch", "opens_ms", 0)
        admit(redis_store)
        finish(redis_store)
        assert mover.move() == 1
        assert used(redis_store.sql) == 1

    def test_takes_over_what_a_dead_one_has_read(self, redis_store: RedisStore) -> None:
        redis_store.sql.users.add("alice")
        redis_store.mover("dead").move()
        admit(redis_store)
        finish(redis_store)
        redis_store.mover("dead")._new()
        patient = redis_store.mover("alive", claim_after_s=60)
        assert patient.move() == 0
        assert redis_store.mover("alive").move() == 1
        assert used(redis_store.sql) == 1

    def test_several_at_once_move_each_record_once(self, redis_store: RedisStore) -> None:
        redis_store.sql.users.add("alice", quota_limit=1000)
        redis_store.state._rate = Rate(per_minute=100_000, burst=1000)
        for number in range(300):
            admit(redis_store, f"n-{number}")
            finish(redis_store, f"n-{number}")
        with ThreadPoolExecutor(3) as pool:
            moved = pool.map(lambda n: sum(redis_store.mover(f"m{n}").move() for _ in range(10)), range(3))
            assert sum(moved) >= 300
        assert redis_store.link.ask("XLEN", "ocr:usage") == 0
        assert redis_store.used() == used(redis_store.sql) == 300


class Stop(threading.Event):
    """Notes how long it was waited for, and does what is to happen in one of these waits."""

    def __init__(self, *happenings: tuple[int, Callable[[], object]]) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._happenings = dict(happenings)

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        self._happenings.get(len(self.waits), lambda: None)()
        return self.is_set()


def test_a_mover_waits_longer_after_each_failure_until_a_success(
    redis_store: RedisStore, redis_server: RedisServer
) -> None:
    def start() -> None:
        redis_server.start()
        await_true(lambda: answers(redis_store.link))

    stop = Stop((8, start), (9, redis_server.stop), (11, start))
    stop._happenings[12] = stop.set
    redis_server.stop()
    try:
        redis_store.mover().run(stop)
    finally:
        if not answers(redis_store.link):
            redis_server.start()

    longest = [0.25, 0.5, 1, 2, 4, 8, 10, 10, IDLE_S, 0.25, 0.5, IDLE_S]
    assert len(stop.waits) == len(longest)
    for place, (wait_s, most_s) in enumerate(zip(stop.waits, longest, strict=True)):
        assert wait_s == IDLE_S if most_s == IDLE_S else most_s / 2 <= wait_s <= most_s, place
    jitters = {wait_s / most_s for wait_s, most_s in zip(stop.waits, longest, strict=True)} - {1}
    assert len(jitters) == 10


def test_the_backlog_has_counts_and_the_age_of_the_oldest_entry(redis_store: RedisStore) -> None:
    clock = FakeClock(time.time())

    def figures() -> dict[str, float]:
        return backlog(redis_store.link, redis_store.spool, clock)

    assert set(figures().values()) == {0}
    redis_store.sql.users.add("alice")
    for nonce in ("on the disk", "running"):
        admit(redis_store, nonce)
    redis_store.spool.add(replace_row(redis_store, "on the disk"))
    for age_s in (90, 30):
        redis_store.link.ask("XADD", "ocr:usage", f"{int(clock.now() - age_s) * 1000}-0", "entry", "")
    for _ in range(3):
        redis_store.link.ask("XADD", "ocr:usage:dead", "*", "entry", "", "error", "")
    assert figures() == {
        "spool_records": 1,
        "stream_records": 2,
        "dead_letters": 3,
        "open_requests": 2,
        "stream_lag_seconds": pytest.approx(90, abs=1),
    }


def served(accounts: CachedAccounts, username: str = "alice") -> Account:
    """The user as process and cache let it in without the database."""
    remembered = accounts.remembered(username)
    if remembered is not None:
        return remembered
    cached = accounts.cached(username)
    assert cached.account is not None
    assert cached.fresh
    return cached.account


def test_a_disabled_user_stops_and_a_new_secret_works_within_a_second(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice")
    assert redis_store.accounts.find("alice")
    assert served(redis_store.accounts).enabled
    redis_store.sql.users.set_enabled("alice", False)
    time.sleep(0.6)
    assert redis_store.accounts.remembered("alice") is None
    assert redis_store.accounts.cached("alice") == CachedAccount()
    assert not redis_store.accounts.find("alice").enabled  # type: ignore[union-attr]
    assert not served(redis_store.accounts).enabled

    secret = redis_store.sql.users.rotate_secret("alice")
    assert redis_store.accounts.find("alice").secrets[0] == secret  # type: ignore[union-attr]
    assert served(redis_store.accounts).secrets[0] == secret


def test_secrets_lie_encrypted_in_redis(redis_store: RedisStore) -> None:
    secret = redis_store.sql.users.add("alice")
    redis_store.accounts.find("alice")
    stored = redis_store.link.ask("HGET", "ocr:accounts", "alice")
    assert "alice" in stored
    assert secret not in stored


def test_a_user_read_before_a_change_is_not_kept_after_it(redis_store: RedisStore) -> None:
    """A slow reader must not bring back what the operator has just taken away."""
    redis_store.sql.users.add("alice")
    sealed = redis_store.sql.sealed

    def slowly(username: str) -> object:
        account = sealed(username)
        redis_store.sql.users.set_enabled("alice", False)
        return account

    redis_store.sql.sealed = slowly  # type: ignore[method-assign,assignment]
    redis_store.accounts.find("alice")
    redis_store.sql.sealed = sealed  # type: ignore[method-assign]
    assert redis_store.link.ask("HGET", "ocr:accounts", "alice") is None


def test_a_user_known_for_long_stays_while_the_database_is_down(
    redis_store: RedisStore, make_store: MakeStore
) -> None:
    secret = redis_store.sql.users.add("alice")
    clock = FakeClock(time.time())
    down = make_store(database_url=f"mysql+pymysql://ocr:secret@127.0.0.1:{free_port()}/ocr")

    def node(sql: SqlStore) -> CachedAccounts:
        return CachedAccounts(redis_store.link, sql, clock)

    alone, restarted = node(down), node(down)
    node(redis_store.sql).find("alice")
    assert served(alone).secrets == (secret,)
    clock.advance(REREAD_AFTER_S + 1)
    for accounts in (alone, restarted):
        stale = accounts.cached("alice")
        assert (stale.account and stale.account.secrets, stale.fresh) == ((secret,), False)
        with pytest.raises(DependencyUnavailable):
            accounts.find("alice")
        assert served(accounts).secrets == (secret,)  # the others do not ask meanwhile
    with pytest.raises(DependencyUnavailable):
        alone.find("bob")

    with redis_store.sql.database.write() as connection:  # by hand
        connection.exec_driver_sql("UPDATE users SET enabled = 0")
    alone._sql = redis_store.sql
    assert served(alone).enabled
    clock.advance(REFRESH_PAUSE_S)
    assert not alone.cached("alice").fresh
    assert not alone.find("alice").enabled  # type: ignore[union-attr]
    assert not served(alone).enabled


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", "{}", '{"read_at": 0, "account": {"secrets": []}}', '{"read_at": null}']
)
def test_a_cached_user_of_another_release_is_read_again(redis_store: RedisStore, text: str) -> None:
    secret = redis_store.sql.users.add("alice")
    redis_store.link.ask("HSET", "ocr:accounts", "alice", text)
    assert redis_store.accounts.cached("alice") == CachedAccount()
    assert redis_store.accounts.find("alice")
    assert served(redis_store.accounts).secrets == (secret,)


def test_unknown_names_leave_a_silent_database_alone(
    redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_store.sql.users.add("alice")
    assert redis_store.accounts.find("alice")
    clock = FakeClock(time.time())
    accounts = CachedAccounts(redis_store.link, redis_store.sql, clock)
    asked = []

    def silent(username: str) -> None:
        asked.append(username)
        raise DependencyUnavailable("silent")

    with monkeypatch.context() as patch:
        patch.setattr(redis_store.sql, "sealed", silent)
        for number in range(20):
            with pytest.raises(DependencyUnavailable) as refused:
                accounts.find(f"nobody-{number}")
        assert asked == ["nobody-0"]
        assert refused.value.retry_after == 1
        assert served(accounts)  # whom Redis knows
        clock.advance(1)
        for number in range(20):
            with pytest.raises(DependencyUnavailable):
                accounts.find(f"nobody-{number}")
        assert len(asked) == 2
    clock.advance(1)
    assert accounts.find("nobody") is None


def test_names_are_kept_for_a_moment_and_not_without_end(
    redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.state.redis_front.accounts.MAX_ENTRIES", 3)
    clock = FakeClock(time.time())
    accounts = CachedAccounts(redis_store.link, redis_store.sql, clock)
    for number in range(9):
        assert accounts.cached(f"nobody-{number}") == CachedAccount()
    assert len(accounts._entries) == 3

    redis_store.sql.users.add("alice")
    accounts.find("alice")
    redis_store.link.ask("HDEL", "ocr:accounts", "alice")  # another process
    assert accounts.remembered("alice")
    clock.advance(0.5)
    assert accounts.remembered("alice") is None
    assert accounts.cached("alice") == CachedAccount()


def test_a_wrong_signature_costs_as_many_commands_for_every_name(
    redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """alice is in this process and in Redis, bob in Redis alone, carol in the database alone."""
    for name in ("alice", "bob", "carol"):
        redis_store.sql.users.add(name)
    redis_store.accounts.find("alice")
    CachedAccounts(redis_store.link, redis_store.sql, SystemClock()).find("bob")
    assert redis_store.accounts.remembered("alice")
    policy = SignaturePolicy(max_age_s=300, max_ahead_s=60, legacy_nonce_days=30, longest_request_s=120)
    asked: Counter[str] = Counter()
    ask, now = redis_store.link.ask, time.time()

    def counted(*command: str | float) -> object:
        asked[request.username] += 1
        return ask(*command)

    monkeypatch.setattr(redis_store.link, "ask", counted)
    for name in ("alice", "bob", "carol", "nobody"):
        request = replace(ocr_request(), username=name, timestamp=int(now), sign="0" * 64)
        with pytest.raises(SignWrong):
            authenticate(request, redis_store.accounts, now=now, policy=policy)
    assert len(set(asked.values())) == 1, asked
    assert len(asked) == 4


def test_dead_letters_are_put_back_once_the_reason_is_gone(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice", quota_limit=3)
    admit(redis_store)
    ended = replace_row(redis_store, "nonce-0001")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.state.sql.records._store", refuse)
        redis_store.state.close(ended)
        redis_store.mover().move()
    [letter] = dead_letters.listed(redis_store.link)
    assert letter.why == "not today"
    assert redis_store.used() == 0

    assert dead_letters.retry(redis_store.link, redis_store.state, [letter]) == 1
    redis_store.mover().move()
    assert dead_letters.listed(redis_store.link) == []
    assert admit(redis_store, "next").remaining == 1
    assert used(redis_store.sql) == 1


def test_a_dead_letter_of_a_lost_request_is_put_back_as_well(redis_store: RedisStore) -> None:
    redis_store.sql.users.add("alice")
    admit(redis_store)
    ended = replace(replace_row(redis_store, "nonce-0001", 18), only_if_open=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.state.sql.records._store", refuse)
        redis_store.state.close(ended)
        redis_store.mover().move()
    letters = dead_letters.listed(redis_store.link)

    assert dead_letters.retry(redis_store.link, redis_store.state, letters) == 1
    redis_store.mover().move()
    assert [row["status_code"] for row in redis_store.sql.tail(10)] == [18]


def refuse(*_: object) -> None:
    raise DataError("INSERT", {}, ValueError("not today"))


class TestLink:
    """Redis behind a password and TLS, and what its faults look like."""

    def link(self, url: str, *, timeout_ms: int = 2000) -> RedisLink:
        return RedisLink(url, timeout_ms=timeout_ms, connections=2, clock=SystemClock(), failed=lambda: None)

    def test_who_waited_for_a_connection_does_not_find_out_again(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path)
        server.start()
        link = self.link(server.url)

        try:
            with ThreadPoolExecutor(10) as pool:
                with server.paused():
                    asking = [pool.submit(answers, link) for _ in range(2)]
                    time.sleep(0.1)  # so that the others get a connection before they have waited too long
                    waiting = [pool.submit(answers, link) for _ in range(8)]
                    assert not any(one.result() for one in asking + waiting)
                await_true(lambda: answers(link))
                assert int(link.ask("GET", "asked")) == 3
                assert all(pool.map(answers, [link] * 10))  # none of the two connections is lost
        finally:
            server.stop()

    def test_with_a_password(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path)
        server.start()
        try:
            self.link(server.url).ask("CONFIG", "SET", "requirepass", "p@ss:word")
            with_password = server.url.replace("redis://", "redis://:p%40ss%3Aword@")
            assert self.link(with_password).ask("PING") in ("PONG", True)
            for url in (server.url, server.url.replace("redis://", "redis://:wrong@")):
                with pytest.raises(DependencyUnavailable):
                    self.link(url).ask("PING")
        finally:
            server.stop()

    def test_with_tls(self, tmp_path: Path, store: SqlStore) -> None:
        certificate, key = self_signed(tmp_path)
        port = free_port()
        options = ["--tls-port", str(port), "--tls-auth-clients", "no"]
        options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
        server = RedisServer(tmp_path, *options)
        server.start()
        try:
            url = f"rediss://localhost:{port}/0"
            assert self.link(f"{url}?ssl_ca_certs={certificate}").ask("PING") in ("PONG", True)
            with pytest.raises(DependencyUnavailable, match="certificate"):
                self.link(url).ask("PING")  # its certificate is not trusted
            self.link(server.url).ask("CONFIG", "SET", "requirepass", "secret")
            url = url.replace("localhost", ":secret@localhost")
            joined = RedisStore(store, tmp_path, f"{url}?ssl_ca_certs={certificate}")
            joined.state.open_epoch()
            store.users.add("alice", quota_limit=1)
            admit(joined)
            finish(joined)
            assert joined.mover().move() == 1
            assert used(store) == 1
            joined.link.close()
        finally:
            server.stop()

    @pytest.mark.parametrize("fault", ["stopped", "paused", "refusing writes"])
    def test_after_a_fault_it_is_left_alone_for_a_moment_and_is_back_within_a_second(
        self, tmp_path: Path, fault: str
    ) -> None:
        server = RedisServer(tmp_path)
        server.start()
        link = self.link(server.url, timeout_ms=200)
        outages = {"stopped": server.stopped, "paused": server.paused}
        outage = outages.get(fault, server.refusing_writes)
        try:
            link.ask("INCR", "asked")
            with outage():
                with pytest.raises(DependencyUnavailable):
                    link.ask("INCR", "asked")
                if fault != "refusing writes":  # an error reply arrives at once
                    with pytest.raises(DependencyUnavailable, match="paused"):
                        link.ask("INCR", "asked")
            started = time.monotonic()
            await_true(lambda: answers(link))
            assert time.monotonic() - started < 1
        finally:
            server.stop()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [which("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key
