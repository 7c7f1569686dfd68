"""The story of a request, with fakes for what lies below it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from app.authenticate import SignaturePolicy, sign
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
from app.model import Account, Line, OcrRequest, Page, PictureInfo, Reading, ReadOptions, UsageRecord
from app.offload import Inline
from app.ports import Offload
from app.service import OcrService
from tests.contract.state import sql_store
from tests.fakes import FakeAccounts, FakeAdmission, FakeClock, FakeFailures, FakeUsageLog

SECRET = "the secret of alice"
READING = Reading(
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

    def reserve(self, deadline: float, gone: object = None, username: str = "") -> Inline:
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


class Story:
    """The service over fakes; read: what stands for the engine."""

    def __init__(self, read: object = READING, picture: bytes | Exception = b"fetched") -> None:
        self.clock = FakeClock()
        self.admission = FakeAdmission()
        self.usage = FakeUsageLog(self.admission)
        self.fetcher = FakeFetcher(picture)
        self.read = read
        self.read_pictures: list[bytes] = []
        self.failures = FakeFailures()
        self.service = OcrService(
            failures=self.failures,
            accounts=FakeAccounts(Account(1, "alice", (SECRET,), quota_limit=10)),
            admission=self.admission,
            usage=self.usage,
            fetcher=self.fetcher,
            offload=Inline(lambda: self._read, clock=self.clock),
            clock=self.clock,
            policy=SignaturePolicy(300, 60, 30, 120),
        )

    def _read(self, data: bytes, options: ReadOptions) -> Reading:
        self.read_pictures.append(data)
        if isinstance(self.read, Exception):
            raise self.read
        assert isinstance(self.read, Reading)
        return self.read

    def request(self, request_id: str = "a" * 32) -> OcrRequest:
        fields = {"username": "alice", "nonce": "nonce-0001", "timestamp": str(int(self.clock.now()))}
        fields["picture_url"] = "https://example.com/a.png"
        return OcrRequest(
            request_id=request_id,
            username="alice",
            nonce="nonce-0001",
            sign=sign(SECRET, fields),
            timestamp=int(self.clock.now()),
            legacy=False,
            signed_fields=fields,
            deadline=self.clock.monotonic() + 30,
            picture_url=fields["picture_url"],
        )

    def with_offload(self, offload: Offload) -> OcrService:
        return replace(self.service, offload=offload)


def test_a_picture_that_is_read_is_charged_and_recorded() -> None:
    story = Story()
    answer = story.service.handle(story.request())
    assert answer.reading is READING
    assert (answer.quota.limit, answer.quota.remaining) == (10, 9)
    assert story.fetcher.asked == ["https://example.com/a.png"]
    assert story.read_pictures == [b"fetched"]
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
        story.service.handle(story.request())
    assert caught.value.status_code == code
    assert story.usage.records["a" * 32].status_code == code
    assert story.admission.used["alice"] == 0


def test_a_stranger_costs_nothing_but_the_signature() -> None:
    story = Story()
    with pytest.raises(SignWrong):
        story.service.handle(replace(story.request(), sign="0" * 64))
    assert not (story.admission.nonces or story.fetcher.asked or story.usage.records)


class SlowAccounts(FakeAccounts):
    """The store takes a while to say who somebody is."""

    def __init__(self, story: Story, seconds: float) -> None:
        super().__init__(*story.service.accounts.by_name.values())  # type: ignore[attr-defined]
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
    request = story.request()
    service.handle(request)
    story.clock.advance(300)  # as old as it may be
    late = replace(service, accounts=SlowAccounts(story, 60))
    with pytest.raises(NonceReplayed):
        late.handle(replace(request, request_id="b" * 32, deadline=story.clock.monotonic() + 90))
    store.close()


def test_wrong_signatures_count_against_their_address_and_other_failures_do_not() -> None:
    story = Story()
    request = replace(story.request(), address="192.0.2.1")
    for wrong in (replace(request, sign="0" * 64), replace(request, username="nobody")):
        with pytest.raises(SignWrong):
            story.service.handle(wrong)
    with pytest.raises(TimestampExpired):
        story.service.handle(replace(request, timestamp=1))
    story.service.handle(request)
    assert story.failures.counted == {"192.0.2.1": 2}


def test_an_address_over_its_limit_waits_even_with_a_good_signature() -> None:
    story = Story()
    story.failures.refused.add("192.0.2.1")
    with pytest.raises(RateLimited):
        story.service.handle(replace(story.request(), address="192.0.2.1"))
    assert not story.admission.nonces
    assert story.service.handle(story.request()).reading is READING


def test_an_overload_answer_comes_before_the_nonce_is_spent() -> None:
    story = Story()
    with pytest.raises(Busy):
        story.with_offload(Full()).handle(story.request())  # type: ignore[arg-type]
    assert not story.admission.nonces
    assert story.service.handle(story.request()).reading is READING


def test_the_same_body_twice_is_a_replay() -> None:
    story = Story()
    story.service.handle(story.request("a" * 32))
    with pytest.raises(NonceReplayed):
        story.service.handle(story.request("b" * 32))
    assert story.read_pictures == [b"fetched"]


def test_a_store_that_is_down_does_not_hide_the_first_error() -> None:
    story = Story(picture=PictureUnreachable("gone", stage="dns"))
    with pytest.raises(PictureUnreachable):
        replace(story.service, usage=BrokenUsageLog()).handle(story.request())


def test_a_success_that_cannot_be_recorded_is_no_success() -> None:
    story = Story()
    with pytest.raises(DependencyUnavailable):
        replace(story.service, usage=BrokenUsageLog()).handle(story.request())
