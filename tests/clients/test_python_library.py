"""The Python library: typed results and errors, batches, and the same on an event loop."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import ServiceError
from ocr_client import AnswerLost, AsyncClient, Client, NotTheService, Outcome, Unreachable, errors
from tests.clients.conftest import LINES, RECEIPT
from tests.clients.scripted import HANG_UP, Scripted, come_back, refusal
from tests.process.conftest import Server
from tests.servers import free_port
from tests.signing import Caller

NewCaller = Callable[..., Caller]
DIGITS = RECEIPT.parent / "digits.png"


def sync_client(url: str, caller: Caller, **options: Any) -> Client:
    return Client(url, caller.username, caller.secret, **options)


def nobodys(url: str, **options: float) -> Client:
    return sync_client(url, Caller("alice", "any secret"), **options)


@pytest.fixture
def ocr(service: Server, caller: Caller) -> Iterator[Client]:
    with sync_client(f"{service.url}/ocr", caller) as client:
        yield client


def test_a_result_has_all_of_the_answer(ocr: Client) -> None:
    result = ocr.read(RECEIPT, charset="chinese+latin", orient=False, min_score=0.3, timeout_ms=20_000)
    assert result.text.splitlines() == [line.text for line in result.lines] == LINES
    assert result.picture.format == "PNG" and len(result.picture.sha256) == 64
    assert all(0.3 <= line.score <= 1 and len(line.box or ()) == 4 for line in result.lines)
    assert result.elapsed_ms.total >= result.elapsed_ms.ocr > 0
    assert (result.quota.limit, result.quota.remaining) == (None, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.text = "another"  # type: ignore[misc]


def test_bytes_and_urls_are_read_too(ocr: Client, picture_url: str) -> None:
    assert ocr.read(RECEIPT.read_bytes(), boxes=False).lines[0].box is None
    assert ocr.read(picture_url).text.splitlines() == LINES


def test_a_text_is_never_taken_for_a_file(ocr: Client) -> None:
    with pytest.raises(ValueError, match=r"pathlib\.Path"):
        ocr.read(str(RECEIPT))


def test_every_code_of_the_service_has_its_class() -> None:
    theirs = {kind.status_code: kind.__name__ for kind in ServiceError.__subclasses__()}
    assert {code: kind.__name__ for code, kind in errors.BY_CODE.items()} == theirs


def test_an_error_says_what_the_service_says(ocr: Client, picture_url: str) -> None:
    with pytest.raises(errors.PictureUnsupported) as caught:
        ocr.read(b"no picture")
    assert (caught.value.status_code, caught.value.http, caught.value.error) == (
        16,
        422,
        "picture_unsupported",
    )
    assert caught.value.request_id and caught.value.request_id in str(caught.value)
    with pytest.raises(errors.RequestMalformed) as malformed:
        ocr.read(RECEIPT, side_limit=1)
    assert malformed.value.field == "side_limit"
    with pytest.raises(errors.PictureUnreachable) as unreachable:
        ocr.read(picture_url.replace("127.0.0.1", "no-such-host.invalid"))
    assert unreachable.value.stage == "dns"


def test_a_code_that_is_new_to_the_client_is_an_error_still() -> None:
    with Scripted(refusal(99, "on_strike", 503)) as scripted, pytest.raises(errors.ServiceError) as caught:
        nobodys(scripted.url).read(RECEIPT)
    assert (caught.value.status_code, caught.value.error) == (99, "on_strike")


@pytest.mark.parametrize("steps", [(404, {}, b"<html>"), (200, {}, b"[]"), (302, {"Location": "/"}, b"")])
def test_another_server_is_told_from_the_service(steps: tuple[int, dict[str, str], bytes]) -> None:
    with Scripted(steps) as scripted, pytest.raises(NotTheService, match=f"HTTP {steps[0]}"):
        nobodys(scripted.url).read(RECEIPT)


@pytest.mark.parametrize("url", ["localhost:8081/ocr", "http://[::1/ocr", "ftp://127.0.0.1/ocr"])
def test_a_wrong_address_is_told(url: str) -> None:
    with pytest.raises(Unreachable):
        nobodys(url, patience_s=0).read(RECEIPT)


def read_in_turn(url: str, **options: float) -> None:
    with nobodys(url, **options) as client:
        client.read(RECEIPT)


def read_on_a_loop(url: str, **options: Any) -> None:
    async def read() -> None:
        async with AsyncClient(url, "alice", "any secret", **options) as client:
            await client.read(RECEIPT)

    asyncio.run(read())


either_client = pytest.mark.parametrize("read", [read_in_turn, read_on_a_loop])


@either_client
def test_what_was_never_sent_is_tried_again(read: Callable[..., None]) -> None:
    """The service comes up a second after the client asked for it."""
    port = free_port()
    errors_seen: list[BaseException] = []

    def ask() -> None:
        try:
            read(f"http://127.0.0.1:{port}/ocr")
        except errors.OcrFailed as error:
            errors_seen.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(1)
    with Scripted(refusal(5, "ocr_failed", 500), port=port) as scripted:
        asking.join()
    assert len(scripted.nonces) == len(errors_seen) == 1


@either_client
def test_a_refusal_for_a_time_is_waited_for(read: Callable[..., None]) -> None:
    begun = time.monotonic()
    with (
        Scripted(come_back(12, "rate_limited", 429, 2), refusal(5, "ocr_failed", 500)) as scripted,
        pytest.raises(errors.OcrFailed),
    ):
        read(scripted.url)
    assert len(set(scripted.nonces)) == len(scripted.nonces) == 2
    assert time.monotonic() - begun >= 2


def test_waiting_leaves_the_loop_to_others() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.05)
            ticks += 1

    async def read(url: str) -> None:
        async with AsyncClient(url, "alice", "any secret", patience_s=5) as client:
            ticking = asyncio.create_task(tick())
            with pytest.raises(errors.OcrFailed):
                await client.read(RECEIPT)
            ticking.cancel()

    with Scripted(come_back(17, "busy", 503, 2), refusal(5, "ocr_failed", 500)) as scripted:
        asyncio.run(read(scripted.url))
    assert ticks >= 5  # of 40, on a machine with nothing else to do


@either_client
def test_a_lost_answer_is_told_and_not_asked_for_again(read: Callable[..., None]) -> None:
    with Scripted(HANG_UP) as scripted, pytest.raises(AnswerLost):
        read(scripted.url)
    assert len(scripted.nonces) == 1


@either_client
@pytest.mark.parametrize(("patience_s", "requests"), [(0, 1), (1.5, 2)])
def test_nothing_is_tried_again_beyond_patience(
    read: Callable[..., None], patience_s: float, requests: int
) -> None:
    with Scripted(come_back(17, "busy", 503)) as scripted, pytest.raises(errors.Busy) as caught:
        read(scripted.url, patience_s=patience_s)
    assert caught.value.retry_after == 1
    assert len(scripted.nonces) == requests


def pictures(tmp_path: Path, count: int) -> list[Path]:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    return [DIGITS, broken, tmp_path / "missing.png", *[DIGITS] * (count - 3)]


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [type(outcome.error or outcome.result).__name__ for outcome in outcomes]


EXPECTED = ["Result", "PictureUnsupported", "FileNotFoundError", "Result", "Result"]


def test_a_batch_is_told_in_order_and_goes_on_after_a_bad_picture(ocr: Client, tmp_path: Path) -> None:
    given = pictures(tmp_path, 5)
    outcomes = list(ocr.read_many(iter(given), concurrency=3))
    assert [outcome.picture for outcome in outcomes] == given
    assert kinds(outcomes) == EXPECTED


def test_the_same_on_an_event_loop(
    service: Server, new_caller: NewCaller, tmp_path: Path, picture_url: str
) -> None:
    caller = new_caller(quota=5)  # one is left at the end: a picture holds one while it is read

    async def read() -> list[Outcome]:
        async with AsyncClient(f"{service.url}/ocr", caller.username, caller.secret) as client:
            first = await client.read(picture_url)
            assert first.text.splitlines() == LINES
            outcomes = [o async for o in client.read_many(pictures(tmp_path, 5), concurrency=3)]
            with pytest.raises(errors.QuotaExhausted):
                async for outcome in client.read_many([DIGITS] * 50):
                    outcomes.append(outcome)
            return outcomes

    assert kinds(asyncio.run(read())) == [*EXPECTED, "Result"]


def test_a_batch_ends_when_the_quota_does_and_tells_what_was_read(
    service: Server, new_caller: NewCaller
) -> None:
    outcomes = []
    with (
        sync_client(f"{service.url}/ocr", new_caller(quota=3)) as client,
        pytest.raises(errors.QuotaExhausted),
    ):
        for outcome in client.read_many([DIGITS] * 100, concurrency=2):
            outcomes.append(outcome)
    assert kinds(outcomes) == ["Result"] * 3


def test_a_wrong_secret_ends_a_batch_with_its_first_answers() -> None:
    with Scripted(refusal(4, "sign_wrong", 401)) as scripted, pytest.raises(errors.SignWrong):
        list(nobodys(scripted.url).read_many([DIGITS] * 100, concurrency=4))
    assert len(scripted.nonces) <= 4


def test_a_lost_answer_ends_no_batch() -> None:
    with Scripted(HANG_UP, refusal(5, "ocr_failed", 500)) as scripted:
        outcomes = list(nobodys(scripted.url).read_many([DIGITS] * 3, concurrency=1))
    assert kinds(outcomes) == ["AnswerLost", "OcrFailed", "OcrFailed"]
    assert isinstance(outcomes[0].error, AnswerLost)
    assert len(scripted.nonces) == 3
