"""Bodies whose framing is broken: never a fault of ours, and never a second request on their connection."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from tests.process.conftest import Server
from tests.process.framing import SMUGGLED, broken_chunks, chunked, cut_short, exchange, statuses

FORMS = broken_chunks(random.Random(13))  # noqa: S311
IGNORED = {
    "GET /healthz": 200,
    "GET /ocr": 405,
    "OPTIONS /ocr": 405,
    "GET /usage": 400,
    "POST /healthz": 405,
    "POST /nothing": 404,
    "PUT /": 405,
}
"""Routes that do not read a body, and what they answer."""


def refused(answer: bytes) -> None:
    """By one answer in the contract's form, on a connection that is closed after it."""
    assert statuses(answer) == [400], answer
    head, _, text = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    assert (json.loads(text)["status_code"], json.loads(text)["error"]) == (7, "request_malformed")


@pytest.fixture
def no_fault(server: Server) -> Iterator[None]:
    """No traceback, and no code 5 for the alert to count."""
    yield
    assert "Traceback" not in server.log("error.log")
    assert "unexpected error" not in server.log("ocr.log")
    assert 'ocr_requests_total{status_code="5"}' not in server.metrics()


@pytest.mark.usefixtures("no_fault")
def test_broken_chunks_are_malformed(server: Server) -> None:
    for name, body in FORMS.items():
        try:
            refused(exchange(server.bind, chunked("POST /ocr", body) + SMUGGLED))
        except AssertionError as error:
            raise AssertionError(name) from error


@pytest.mark.usefixtures("no_fault")
def test_a_body_that_ends_early_is_malformed(server: Server) -> None:
    chance = random.Random(14)  # noqa: S311
    for _ in range(10):
        refused(exchange(server.bind, chunked("POST /ocr", cut_short(chance)), ends=True))
    head = b"POST /ocr HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"
    assert statuses(exchange(server.bind, head, ends=True)) == [400]


@pytest.mark.usefixtures("no_fault")
@pytest.mark.parametrize("route", IGNORED)
def test_a_body_that_nobody_reads_ends_its_connection(server: Server, route: str) -> None:
    """One answer: what follows the body is no request, whatever the body was."""
    good = {"a good body": b"2\r\n{}\r\n0\r\n\r\n"}
    for name, body in (FORMS | good).items():
        answer = exchange(server.bind, chunked(route, body) + SMUGGLED)
        assert statuses(answer) == [IGNORED[route]], name
        assert b"\r\nConnection: close" in answer, name


@pytest.mark.usefixtures("no_fault")
@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5_0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_a_head_that_is_no_request_is_answered_by_gunicorn(server: Server, head: bytes) -> None:
    assert statuses(exchange(server.bind, head)) == [400]


@pytest.mark.usefixtures("no_fault")
def test_an_early_answer_ends_its_connection(server: Server) -> None:
    """The rest of a body that was refused unread is no request either."""
    for head, status in (
        (b"Content-Type: application/json\r\nContent-Length: 99999999\r\n", 413),
        (b"Content-Type: text/plain\r\nContent-Length: 500\r\n", 415),
        (b"Content-Type: application/json; charset=latin-1\r\nTransfer-Encoding: chunked\r\n", 415),
    ):
        answer = exchange(
            server.bind, b"POST /ocr HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n" + SMUGGLED, ends=True
        )
        assert statuses(answer) == [status]


def test_requests_with_whole_bodies_share_a_connection(server: Server) -> None:
    """Of either framing, and refused or not."""
    last = SMUGGLED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    length = b"POST /ocr HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    chunks = chunked("POST /ocr", b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n")
    assert statuses(exchange(server.bind, length + chunks + SMUGGLED + last)) == [400, 400, 200, 200]
