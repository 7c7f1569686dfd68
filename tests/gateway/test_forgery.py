"""What a client writes to pass for somebody else, or for two requests at once."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
import requests

from tests.gateway.conftest import Gateway
from tests.gateway.test_errors import raw, sent, whole_answer
from tests.process.test_serving import png
from tests.signing import Caller

FORGED = {
    "X-Request-ID": "0123456789abcdef0123456789abcdef",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Real-IP": "203.0.113.7",
    "Forwarded": "for=203.0.113.7",
    "X_Request_ID": "0123456789abcdef0123456789abcdef",
}


@pytest.fixture(scope="module")
def mallory(gateway: Gateway) -> Caller:
    return gateway.caller("mallory")


def test_forged_headers_are_neutral(gateway: Gateway, mallory: Caller) -> None:
    picture, text = png(1)
    answer = gateway.post(mallory.body(picture=picture), headers=FORGED)
    assert answer.json()["result"] == text
    given = answer.headers["X-Request-ID"]
    assert given != FORGED["X-Request-ID"]
    [line] = [
        json.loads(line)
        for instance in gateway.instances
        for line in instance.log("ocr.log").splitlines()
        if given in line
    ]
    assert line["address"] == "127.0.0.1"
    assert gateway.access(given)["address"] == "127.0.0.1"
    assert gateway.records("mallory", f"request_id = '{given}'") == 1


def test_a_replay_under_the_first_ones_request_id_stays_a_replay(gateway: Gateway, mallory: Caller) -> None:
    body = mallory.body(picture=png(2)[0])
    first = gateway.post(body)
    again = gateway.post(body, headers={"X-Request-ID": first.headers["X-Request-ID"]})
    assert (first.status_code, again.status_code) == (200, 409)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "ocr, evil.example", "a" * 300, "[::1]"])
def test_a_forged_host_is_refused_or_neutral(gateway: Gateway, mallory: Caller, host: str) -> None:
    answer = gateway.post(mallory.body(picture=png(3)[0]), headers={"Host": host})
    assert answer.status_code in (200, 400)
    assert answer.json()["status_code"] in (6, 7)
    assert host not in answer.text
    assert host not in str(answer.headers)


SMUGGLED = b"POST /ocr HTTP/1.1\r\nHost: ocr\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
INNER = b"GET /readyz HTTP/1.1\r\nHost: ocr\r\n\r\n"
CHUNKED = b"0\r\n\r\n" + INNER


def shape(*lines: bytes, body: bytes = CHUNKED) -> bytes:
    return (
        b"\r\n".join(
            [b"POST /ocr HTTP/1.1", b"Host: ocr", b"Content-Type: application/json", *lines, b"", b""]
        )
        + body
    )


SHAPES = {
    "two lengths": shape(b"Content-Length: 5", b"Content-Length: %d" % len(CHUNKED)),
    "two equal lengths": shape(b"Content-Length: 5", b"Content-Length: 5"),
    "a list of lengths": shape(b"Content-Length: 5, 5"),
    "length and chunked": shape(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "chunked and length": shape(b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(CHUNKED)),
    "chunked twice": shape(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunked and identity": shape(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    "an unknown coding": shape(b"Transfer-Encoding: xchunked"),
    "a coding after a tab": shape(b"Transfer-Encoding:\tchunked", b"Content-Length: 5"),
    "a space before the colon": shape(b"Transfer-Encoding : chunked", b"Content-Length: 5"),
    "a folded header": shape(b"X: y\r\n Transfer-Encoding: chunked", b"Content-Length: 5"),
    "a negative length": shape(b"Content-Length: -5"),
    "a signed length": shape(b"Content-Length: +5"),
    "a hexadecimal length": shape(b"Content-Length: 0x5"),
    "a huge length": shape(b"Content-Length: 18446744073709551621"),
    "bare line feeds": shape(b"Content-Length: 5").replace(b"\r\n", b"\n"),
    "a bare carriage return": shape(b"X: y\rTransfer-Encoding: chunked", b"Content-Length: 5"),
    "NUL in a header": shape(b"X: \0", b"Content-Length: 5"),
    "a chunk size with a sign": shape(b"Transfer-Encoding: chunked", body=b"+5\r\n{}\r\n\r\n0\r\n\r\n"),
    "a chunk size that overflows": shape(b"Transfer-Encoding: chunked", body=b"FFFFFFFFFFFFFFFFF\r\n{}\r\n"),
    "two requests on a line": b"GET /ocr HTTP/1.1 HTTP/1.1\r\nHost: ocr\r\n\r\n",
    "an absolute target of another host": b"GET http://evil.example/readyz HTTP/1.1\r\nHost: ocr\r\n\r\n",
    "no version": b"GET /readyz\r\n",
    "HTTP/2 without being asked": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", SHAPES)
def test_no_shape_of_a_request_reaches_the_inside(gateway: Gateway, name: str) -> None:
    """Whatever the bytes are taken for: a refusal or none, and never the operator's route."""
    before = [instance.log("access.log") for instance in gateway.instances]
    answers = answers_to(gateway, SHAPES[name])
    for status, body in answers:
        assert 400 <= status < 500
        assert b"ready" not in body
    after = [instance.log("access.log") for instance in gateway.instances]
    seen = "".join(new.removeprefix(old) for new, old in zip(after, before, strict=True))
    assert "readyz" not in seen and "evil" not in seen
    assert seen.count("POST /ocr") <= 1


def answers_to(gateway: Gateway, data: bytes) -> list[tuple[int, bytes]]:
    """Status and body of every answer on one connection."""
    answers = [b"HTTP/1.1 " + answer for answer in sent(gateway, data).split(b"HTTP/1.1 ")[1:]]
    return [(status, body) for status, _, body in map(whole_answer, answers)]


def test_pipelined_requests_each_get_their_own_answer(gateway: Gateway) -> None:
    pair = SMUGGLED + b"GET /healthz HTTP/1.1\r\nHost: ocr\r\nConnection: close\r\n\r\n"
    assert [status for status, _ in answers_to(gateway, pair)] == [400, 200]


def test_nothing_of_this_left_a_record(gateway: Gateway) -> None:
    with closing(sqlite3.connect(gateway.prefix / "var" / "ocr.sqlite")) as database:
        [[unfinished]] = database.execute("SELECT count(*) FROM usage_records WHERE status_code IS NULL")
    assert unfinished == 0
    assert requests.get(f"{gateway.url}/healthz", timeout=10).ok
    assert raw(gateway, b"GET /healthz HTTP/1.0\r\n\r\n")[0] == 200
