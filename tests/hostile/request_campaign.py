"""The table of bad input, row by row, over real sockets: each with the answer that it must get."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import quote

from tests.hostile.network import SERVICE_PORT
from tests.hostile.report import Report
from tests.hostile.service import Answer, Service
from tests.hostile.world import ticket
from tests.signing import Caller

MIB = 1024 * 1024
AT_ONCE = 50
JSON = {"Content-Type": "application/json"}
URL = "http://127.0.0.1/a.png"  # refused, but only when all else was found good
LABELS = {"username": 0, "nonce": 1, "sign": 2, "picture_url": 3}
ENDLESS_MB = 4 * 14 * 1.048576  # the body limit, and what it takes to read it in pieces


@dataclass(frozen=True)
class Row:
    name: str
    data: bytes
    http: int
    codes: frozenset[int | None]
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    method: str = "POST"


def run(service: Service, report: Report, *, quick: bool) -> None:
    caller, other = service.caller(), service.caller()
    told: Counter[str] = Counter()
    for row in chain(
        _bodies(caller), _fields(caller), _kinds(caller), _times(caller), _forged(caller, other)
    ):
        status, headers, text = _send(row)
        answer = json.loads(text)
        code = answer["status_code"]
        report.answered(status, code, f"{row.name}: {text[:200]}")
        good = (status, answer["result"]) == (row.http, None) and code in row.codes and answer["error"]
        if status == 405:
            good = good and headers["Allow"] == "POST"
        report.case(bool(good), f"{row.name}: HTTP {status} {text[:200]}")
        if code == 4:
            told[text.replace(answer["request_id"], "")] += 1
    report.case(len(told) == 1, f"wrong signatures are told apart: {told}")
    _too_large(service, report)
    _replayed(service, report, caller)
    _last_of_a_quota(service, report)


def _send(row: Row) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection("127.0.0.1", SERVICE_PORT, timeout=60)
    with contextlib.closing(connection):
        connection.request(row.method, "/ocr", row.data, row.headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


def _malformed(name: str, data: bytes) -> Row:
    return Row(name, data, 400, frozenset({7}))


def _bodies(caller: Caller) -> Iterator[Row]:
    good = json.dumps(caller.body(picture_url=URL)).encode()
    for data in (
        b"",
        good[:-1],
        good[:-9],
        b"{} {}",
        good + good,
        b"[]",
        b'"a"',
        b"1",
        b"null",
        b"[" + good + b"]",
    ):
        yield _malformed(f"{len(data)} bytes: {data[:20]!r}", data)
    for name, more in {
        "a key twice": b'"username": "' + caller.username.encode() + b'"',
        "NaN": b'"min_score": NaN',
        "Infinity": b'"timeout_ms": -Infinity',
        "5,000 digits": b'"timeout_ms": ' + b"1" * 5000,
        "a fraction": b'"timeout_ms": 1e3',
        "an unknown field": b'"colour": "red"',
        "a lone surrogate": b'"charset": "\\ud800"',
        "NUL": b'"charset": "\x00"',
        "NUL, escaped": b'"charset": "\\u0000"',
        "no UTF-8": b'"charset": "\xff\xfe"',
        "overlong UTF-8": b'"charset": "\xc0\xaf"',
        "16,000 brackets inside": b'"charset": ' + b"[" * 16_000,
        "blanks": b" " * 5000 + b'"boxes": true',
    }.items():
        yield _malformed(name, good[:-1] + b", " + more + b"}")
    yield _malformed("16,000 opening brackets", b"[" * 16_000)
    yield _malformed("3,000 nested objects", b'{"a":' * 3000 + b"1" + b"}" * 3000)
    yield _malformed("UTF-16", good.decode().encode("utf-16"))
    yield _malformed("a byte order mark", b"\xef\xbb\xbf" + good)


def _fields(caller: Caller) -> Iterator[Row]:
    body = caller.body(picture_url=URL)
    for name in (*LABELS, "timestamp"):
        without = {other: value for other, value in body.items() if other != name}
        http, code = (400, LABELS[name]) if name in LABELS else (401, 8)
        yield Row(f"no {name}", json.dumps(without).encode(), http, frozenset({code}))
        for value in (None, "", 5, True, [], {}, [1], {"a": "b"}):
            if (name, value) == ("timestamp", 5):
                continue  # a time long ago
            changed = json.dumps(body | {name: value}).encode()
            yield Row(f"{name}: {value!r}", changed, 400, frozenset({LABELS.get(name, 7), 7}))


def _kinds(caller: Caller) -> Iterator[Row]:
    good = json.dumps(caller.body(picture_url=URL)).encode()
    for kind in (
        "text/plain",
        "text/json",
        "application/xml",
        "application/x-www-form-urlencoded",
        "",
        "*/*",
    ):
        yield Row(f"Content-Type {kind!r}", good, 415, frozenset({20}), {"Content-Type": kind})
    for encoding in ("gzip", "br", "gzip, gzip"):
        yield Row(
            f"Content-Encoding {encoding}", good, 415, frozenset({20}), JSON | {"Content-Encoding": encoding}
        )
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        yield Row(method, good, 405, frozenset({None}), method=method)


def _times(caller: Caller) -> Iterator[Row]:
    now = int(time.time())
    for name, timestamp in {
        "301 s old": now - 301,
        "70 s ahead": now + 70,
        "in ms": now * 1000,
        "0": 0,
    }.items():
        body = caller.body(picture_url=URL, timestamp=timestamp)
        yield Row(f"timestamp {name}", json.dumps(body).encode(), 401, frozenset({8}))
    for name, text in {
        "negative": f"-{now}",
        "of 30 digits": "9" * 30,
        "in words": '"now"',
        "quoted": f'"{now}"',
        "in Arabic digits": '"١٧٩٥"',
        "a fraction": f"{now}.0",
    }.items():
        body = caller.body(picture_url=URL, timestamp=12345)
        yield _malformed(f"timestamp {name}", json.dumps(body).replace("12345", text, 1).encode())


def _forged(caller: Caller, other: Caller) -> Iterator[Row]:
    """Code 4, and the same words for all of them."""
    good = caller.body(picture_url=URL, nonce="nonce-0001", boxes=True, min_score="0.5")
    sign = good["sign"]
    signs = {
        "wrong": "0" * 64,
        "cut": sign[:-1],
        "longer": sign + "0",
        "in capitals": sign.upper(),
        "not ASCII": "签" * 64,
        "one letter": "a",
        "full-width": "０" * 64,
        "another user's": other.body(**{**good, "sign": None, "username": None})["sign"],
        "with a blank": f" {sign}",
        "of the original scheme": caller.legacy_body(nonce="nonce-0001")["sign"],
    }
    for name, wrong in signs.items():
        yield _wrong(f"sign {name}", good | {"sign": wrong})
    for name in ("nobody", other.username, caller.username.upper()):
        yield _wrong(f"user {name!r}", good | {"username": name})
    for name, value in {
        "nonce": "nonce-0002",
        "timestamp": good["timestamp"] - 1,
        "picture_url": URL + "x",
        "boxes": False,
        "min_score": "0.4",
    }.items():
        yield _wrong(f"{name} changed after signing", good | {name: value})
        if name not in (*LABELS, "timestamp"):
            yield _wrong(f"{name} taken away", {key: kept for key, kept in good.items() if key != name})
    yield _wrong("a field added", good | {"timeout_ms": 5000})
    # Where fields end must be part of what is signed.
    yield _wrong("nonce inside the URL", good | {"picture_url": f"{URL}&nonce=nonce-0001"})
    joined = f"{URL}&timestamp={good['timestamp']}"
    yield _wrong("fields split anew", good | {"picture_url": joined})
    yield _wrong("fields split anew, encoded", good | {"picture_url": quote(joined, safe="")})


def _wrong(name: str, body: dict[str, Any]) -> Row:
    return Row(name, json.dumps(body, ensure_ascii=False).encode(), 401, frozenset({4}))


def _too_large(service: Service, report: Report) -> None:
    head = b"POST /ocr HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for name, start, block in (
        ("a body of 15 MiB", head + b"Content-Length: %d\r\n\r\n" % (15 * MIB), b" " * 0x10000),
        ("an endless chunked body", head + b"Transfer-Encoding: chunked\r\n\r\n", chunk),
    ):
        with service.memory() as grown:
            status, answer = _sent_until_answered(start, block)
        report.answered(status, answer.get("status_code"), name)
        report.case((status, answer.get("status_code")) == (413, 19), f"{name}: HTTP {status} {answer}")
        report.measured("growth by bodies, MB", grown[0], name, limit=ENDLESS_MB)


def _sent_until_answered(start: bytes, block: bytes) -> tuple[int, dict[str, Any]]:
    """Blocks and more blocks, four times the limit at most."""
    with socket.create_connection(("127.0.0.1", SERVICE_PORT), timeout=60) as connection:
        connection.sendall(start)
        left = 64 * MIB // len(block)
        while left and not select.select([connection], [], [], 0)[0]:
            connection.sendall(block)
            left -= 1
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read())


def _replayed(service: Service, report: Report, caller: Caller) -> None:
    """In turn, and fifty at once: one is read. Who was told to come back, does."""
    body = caller.body(picture=ticket(31))
    codes = [_patient(service, body).code for _ in range(3)]
    report.case(codes == [6, 9, 9], f"one body three times in turn: {codes}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        same = caller.body(picture=ticket(32))
        found = Counter(answer.code for answer in pool.map(lambda _: _patient(service, same), range(AT_ONCE)))
    report.case(found == {6: 1, 9: AT_ONCE - 1}, f"one body {AT_ONCE} times at once: {found}")


def _patient(service: Service, body: dict[str, Any]) -> Answer:
    for _ in range(60):
        answer = service.post(body)
        if answer.code not in (12, 17):
            break
        time.sleep(0.5)
    return answer


def _last_of_a_quota(service: Service, report: Report) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = pool.map(lambda _: service.ask(service.poor, picture=ticket(33)), range(AT_ONCE))
        found = Counter(answer.code for answer in asked)
    report.case(found == {6: 1, 11: AT_ONCE - 1}, f"{AT_ONCE} at once with a quota of one: {found}")
