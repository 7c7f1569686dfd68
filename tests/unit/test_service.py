"""The story of a request, with fakes for what lies below it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from app.authenticate import SignaturePolicy, sign, sign_legacy
from app.engine.inline import Inline
from app.errors import (
    Busy,
    DependencyUnavailable,
    NonceReplayed,
    PictureUnreachable,
    RateLimited,
    ServiceError,
    SignWrong,
    TimestampExpired,
)
from app.limits.refusals import RefusalLimit
from app.model.account import Account, CachedAccount
from app.model.claim import Claim
from app.model.reading import Line, Page, PictureInfo, ReadOptions, ReadOrder, ReadResult
from app.model.usage import UsageRecord
from app.ports import Offload
from app.service.caller import CallerCheck
from app.service.recognise import OcrService
from tests.contract.state import sql_store
from tests.fakes import FakeAccounts, FakeAdmission, FakeClock, FakeFailures, FakeUsageLog

SECRET = "the secret of alice"
URL = "https://example.com/a.png"
READING = ReadResult(
    Page((Line("你好", 0.9, ((0, 0), (9, 0), (9, 5), (0, 5))),), "a model"),
    PictureInfo(9, 5, "PNG", "00"),
    1,
    2,
)


class Full:
    """An offload without room."""

    def start(self) -> None: ...

    def ready(self) -> bool:
        return True

    def reserve(self, deadline: float, cancelled: object, username: str) -> Inline:
        raise Busy("full", retry_after=3)


@dataclass
class FakeFetcher:
    picture: bytes | Exception = b"fetched"
    asked: list[str] = field(default_factory=list)

    def fetch(self, url: str, *, username: str, deadline: float) -> bytes:
        self.asked.append(url)
        if isinstance(self.picture, Exception):
            raise self.picture
        return self.picture


class BrokenUsageLog:
    def finish(self, record: UsageRecord) -> None:
        raise DependencyUnavailable("down")


@dataclass
class FakeReader:
    """Reads every picture as `outcome`, or raises it."""

    outcome: object
    pictures: list[bytes] = field(default_factory=list)

    def __call__(self, data: bytes, options: ReadOptions) -> ReadResult:
        self.pictures.append(data)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert isinstance(self.outcome, ReadResult)
        return self.outcome

    def warm_up(self) -> None: ...


class Story:
    """The service over fakes. read: the outcome of each read."""

    def __init__(self, read: object = READING, picture: bytes | Exception = b"fetched") -> None:
        self.clock = FakeClock()
        self.admission = FakeAdmission()
        self.usage = FakeUsageLog(self.admission)
        self.fetcher = FakeFetcher(picture)
        self.reader = FakeReader(read)
        self.failures = FakeFailures()
        self.service = OcrService(
            caller=CallerCheck(
                accounts=FakeAccounts(
                    Account(1, "alice", (SECRET,), quota_limit=10),
                    Account(2, "legacy", (SECRET,), allow_legacy_sign=True),
                ),
                failures=self.failures,
                refusals=RefusalLimit(
                    per_minute=60,
                    burst=9,
                    share=1,
                    connections=8,
                    clock=self.clock,
                    sleep=self.clock.advance,
                ),
                clock=self.clock,
                policy=SignaturePolicy(
                    max_age_s=300, max_ahead_s=60, legacy_nonce_days=30, longest_request_s=120
                ),
                refused_ms=10,
                sleep_until=self.clock.advance_to,
            ),
            admission=self.admission,
            usage=self.usage,
            fetcher=self.fetcher,
            offload=Inline(lambda: self.reader, clock=self.clock),
            clock=self.clock,
        )

    def claim(self, request_id: str = "a" * 32) -> Claim:
        fields = {"username": "alice", "nonce": "nonce-0001", "timestamp": str(int(self.clock.now()))}
        fields["picture_url"] = URL
        return Claim(
            request_id=request_id,
            username="alice",
            nonce="nonce-0001",
            sign=sign(SECRET, fields),
            timestamp=int(self.clock.now()),
            legacy=False,
            signed_fields=fields,
        )

    def order(self, wait_s: float = 30) -> ReadOrder:
        return ReadOrder(URL, deadline=self.clock.monotonic() + wait_s)

    def with_offload(self, offload: Offload) -> OcrService:
        return replace(self.service, offload=offload)


def test_a_picture_that_is_read_is_charged_and_recorded() -> None:
    story = Story()
    answer = story.service.handle(story.claim(), story.order())
    assert answer.reading is READING
    assert (answer.quota.limit, answer.quota.remaining) == (10, 9)
    assert story.fetcher.asked == [URL]
    assert story.reader.pictures == [b"fetched"]
    record = story.usage.records["a" * 32]
    assert (record.status_code, record.lines, record.characters) == (6, 1, 2)
    assert story.admission.used["alice"] == 1


@pytest.mark.parametrize(
    ("read", "picture", "code"),
    [
        (READING, PictureUnreachable("gone", stage="dns"), 14),
        (ValueError("the engine broke"), b"fetched", 5),
        (Busy("waited in vain"), b"fetched", 17),
    ],
)
def test_a_failure_is_recorded_and_not_charged(read: object, picture: bytes | Exception, code: int) -> None:
    story = Story(read, picture)
    with pytest.raises(ServiceError) as caught:
        story.service.handle(story.claim(), story.order())
    assert caught.value.status_code == code
    assert story.usage.records["a" * 32].status_code == code
    assert story.admission.used["alice"] == 0


def test_a_picture_that_was_sent_is_not_fetched() -> None:
    story = Story()
    sha256 = hashlib.sha256(b"sent").hexdigest()
    fields = {"timestamp": str(int(story.clock.now())), "picture_sha256": sha256}
    claim = replace(story.claim(), signed_fields=fields, sign=sign(SECRET, fields))
    order = replace(story.order(), picture_url=None)
    assert story.service.handle(claim, order, lambda: b"sent").elapsed.fetch == 0
    with pytest.raises(SignWrong):
        story.service.handle(claim, order, lambda: b"another")
    assert story.reader.pictures == [b"sent"]
    assert not story.fetcher.asked


def test_a_stranger_costs_nothing_but_the_signature() -> None:
    story = Story()
    with pytest.raises(SignWrong):
        story.service.handle(replace(story.claim(), sign="0" * 64), story.order())
    assert not (story.admission.nonces or story.fetcher.asked or story.usage.records)


class SlowAccounts(FakeAccounts):
    """The store takes a while to say who somebody is."""

    def __init__(self, story: Story, seconds: float) -> None:
        super().__init__(*story.service.caller.accounts.by_name.values())  # type: ignore[attr-defined]
        self.clock, self.seconds = story.clock, seconds

    def find(self, username: str) -> Account | None:
        self.clock.advance(self.seconds)
        return super().find(username)


def test_a_nonce_is_remembered_for_a_request_that_came_in_time_and_is_slow(tmp_path: Path) -> None:
    story = Story()
    store = sql_store(tmp_path, story.clock, database_url=f"sqlite:///{tmp_path}/ocr.sqlite")
    store.create()
    store.users.add("alice")
    service = replace(story.service, admission=store, usage=store)
    claim = story.claim()
    service.handle(claim, story.order())
    story.clock.advance(300)  # as old as it may be
    late = replace(service, caller=replace(service.caller, accounts=SlowAccounts(story, 60)))
    with pytest.raises(NonceReplayed):
        late.handle(replace(claim, request_id="b" * 32), story.order(wait_s=90))
    store.close()


def test_wrong_signatures_count_by_address_and_name_and_other_failures_do_not() -> None:
    story = Story()
    claim = replace(story.claim(), address="192.0.2.1")
    for wrong in (replace(claim, sign="0" * 64), replace(claim, username="nobody")):
        with pytest.raises(SignWrong):
            story.service.handle(wrong, story.order())
    with pytest.raises(TimestampExpired):
        story.service.handle(replace(claim, timestamp=1), story.order())
    story.service.handle(claim, story.order())
    assert story.failures.counted == {("192.0.2.1", "alice"): 1, ("192.0.2.1", "nobody"): 1}


def test_a_right_signature_passes_however_many_wrong_ones_came_from_its_address() -> None:
    story = Story()
    claim = replace(story.claim(), address="192.0.2.1")
    for name in ("alice", "nobody"):
        story.failures.refused.add(("192.0.2.1", name))
        with pytest.raises(RateLimited):
            story.service.handle(replace(claim, username=name, sign="0" * 64), story.order())
    assert not story.failures.counted  # enough is known
    assert story.service.handle(claim, story.order()).reading is READING


@pytest.mark.parametrize("legacy", [True, False])
def test_a_right_guess_of_a_password_does_not_show_over_the_limit(legacy: bool) -> None:
    """The password of a user who may sign md5 can be tried with either signature."""
    story = Story()
    claim = story.claim()
    fields = {**claim.signed_fields, "username": "legacy"}
    right = sign_legacy(SECRET, "legacy", claim.nonce) if legacy else sign(SECRET, fields)
    asked = replace(claim, username="legacy", signed_fields=fields, legacy=legacy, address="192.0.2.1")
    story.failures.refused.add(("192.0.2.1", "legacy"))
    told = set()
    for signature in (right, "0" * len(right)):
        with pytest.raises(RateLimited) as refused:
            story.service.handle(replace(asked, sign=signature), story.order())
        told.add((refused.value.retry_after, story.clock.now()))
        story.clock.advance_to(1_800_000_000.0)
    assert len(told) == 1
    story.service.handle(replace(asked, sign=right, address="192.0.2.2"), story.order())


@pytest.mark.parametrize(("took_s", "answered_s"), [(0, 0.01), (0.009, 0.01), (0.011, 0.02)])
def test_a_wrong_signature_is_answered_after_whole_steps(took_s: float, answered_s: float) -> None:
    story = Story()
    begun = story.clock.now()
    caller = replace(story.service.caller, accounts=SlowAccounts(story, took_s))
    for name in ("alice", "nobody"):
        with pytest.raises(SignWrong):
            replace(story.service, caller=caller).handle(
                replace(story.claim(), username=name, sign="0" * 64), story.order()
            )
        assert story.clock.now() - begun == pytest.approx(answered_s)
        story.clock.advance_to(begun)


class Cache(FakeAccounts):
    """Knows alice, and has a database that may be down."""

    def __init__(self, account: Account, *, fresh: bool, down: bool) -> None:
        super().__init__(account)
        self.known, self.down = CachedAccount(account, fresh), down

    def cached(self, username: str) -> CachedAccount:
        return self.known if username == "alice" else CachedAccount()

    def find(self, username: str) -> Account | None:
        if self.down:
            raise DependencyUnavailable("down")
        return super().find(username)


@pytest.mark.parametrize("fresh", [True, False])
def test_while_the_database_is_down_only_a_right_signature_shows_who_is_cached(fresh: bool) -> None:
    story = Story()
    cache = Cache(Account(1, "alice", (SECRET,)), fresh=fresh, down=True)
    service = replace(story.service, caller=replace(story.service.caller, accounts=cache))
    for name in ("alice", "nobody"):
        with pytest.raises(DependencyUnavailable):
            service.handle(replace(story.claim(), username=name, sign="0" * 64), story.order())
    assert service.handle(story.claim(), story.order()).reading is READING


def test_a_secret_that_is_not_in_the_cache_yet_is_looked_for_in_the_database() -> None:
    story = Story()
    cache = Cache(Account(1, "alice", (SECRET,)), fresh=True, down=False)
    cache.known = CachedAccount(Account(1, "alice", ("an older secret",)), fresh=True)
    service = replace(story.service, caller=replace(story.service.caller, accounts=cache))
    assert service.handle(story.claim(), story.order()).reading is READING


def test_who_is_refused_again_and_again_is_answered_before_the_signature_is_looked_at() -> None:
    """Only from the address that the refused requests came from, and nobody else in that name."""
    story = Story()
    here = replace(story.claim(), address="192.0.2.1")
    story.service.handle(here, story.order())
    for _ in range(10):
        with pytest.raises(NonceReplayed):
            story.service.handle(replace(here, request_id="b" * 32), story.order())
    story.failures.counted.clear()
    with pytest.raises(RateLimited) as refused:
        story.service.handle(replace(here, sign="0" * 64), story.order())
    assert refused.value.retry_after
    assert not story.failures.counted
    with pytest.raises(NonceReplayed):
        story.service.handle(replace(here, request_id="b" * 32, address="192.0.2.2"), story.order())
    with pytest.raises(SignWrong):
        story.service.handle(replace(here, username="nobody", sign="0" * 64), story.order())
    story.clock.advance(11)
    with pytest.raises(NonceReplayed):
        story.service.handle(replace(here, request_id="b" * 32), story.order())


def test_strangers_do_not_have_a_user_refused() -> None:
    story = Story()
    for _ in range(200):
        with pytest.raises(SignWrong):
            story.service.handle(replace(story.claim(), sign="0" * 64), story.order())
    assert story.service.handle(story.claim(), story.order()).reading is READING


def test_an_overload_answer_comes_before_the_nonce_is_spent() -> None:
    story = Story()
    with pytest.raises(Busy):
        story.with_offload(Full()).handle(story.claim(), story.order())
    assert not story.admission.nonces
    assert story.service.handle(story.claim(), story.order()).reading is READING


def test_an_overload_answer_to_a_signed_request_counts_as_signed() -> None:
    """And the budget of unproven bodies has its bytes back."""
    story, proven = Story(), []

    def on_proven() -> None:
        proven.append(True)

    with pytest.raises(Busy):
        story.with_offload(Full()).handle(story.claim(), story.order(), on_proven=on_proven)
    with pytest.raises(SignWrong):
        story.service.handle(replace(story.claim(), sign="0" * 64), story.order(), on_proven=on_proven)
    assert proven == [True]


def test_the_same_body_twice_is_a_replay() -> None:
    story = Story()
    story.service.handle(story.claim("a" * 32), story.order())
    with pytest.raises(NonceReplayed):
        story.service.handle(story.claim("b" * 32), story.order())
    assert story.reader.pictures == [b"fetched"]


def test_a_store_that_is_down_does_not_hide_the_first_error() -> None:
    story = Story(picture=PictureUnreachable("gone", stage="dns"))
    with pytest.raises(PictureUnreachable):
        replace(story.service, usage=BrokenUsageLog()).handle(story.claim(), story.order())


def test_a_success_that_cannot_be_recorded_is_no_success() -> None:
    story = Story()
    with pytest.raises(DependencyUnavailable):
        replace(story.service, usage=BrokenUsageLog()).handle(story.claim(), story.order())
