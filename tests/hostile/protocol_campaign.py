"""Bodies, forms, framing and whole requests that were good once: whatever comes of them, it is no 5xx."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.hostile.network import SERVICE_PORT
from tests.hostile.report import Report
from tests.hostile.service import Service
from tests.process.framing import SMUGGLED, broken_chunks, chunked, exchange, statuses
from tests.web.test_protocol import UNREACHABLE, _changed, _mutated

BODIES, RAW, BROKEN, CHUNKED = 10_000, 1_000, 40, 2_000
BIND = f"127.0.0.1:{SERVICE_PORT}"
ROUTES = ("POST /ocr", "GET /healthz", "GET /ocr", "OPTIONS /ocr", "POST /nothing", "DELETE /usage")
AT_ONCE = 4
PER_CONNECTION = 50
BOUNDARY = "a-boundary"
REQUEST = (
    b"POST /ocr HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
)


def run(service: Service, report: Report, *, quick: bool) -> None:
    share = 20 if quick else 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seeds = range(BODIES // PER_CONNECTION // share)
        for outcomes in pool.map(lambda seed: _bodies(service, random.Random(seed)), seeds):  # noqa: S311
            for status, answer, sent in outcomes:
                report.answered(status, answer.get("status_code"), f"{answer} for {sent[:300]!r}")
                report.case("error" in answer, f"HTTP {status} {answer} for {sent[:300]!r}")
        for returned, sent in pool.map(_raw, range(RAW // share)):
            if returned is not None:
                report.answered(returned, None, f"for {sent[:300]!r}")
            report.case(returned is None or returned < 500, f"HTTP {returned} for {sent[:300]!r}")
        for received, sent in pool.map(_mutated_chunks, range(CHUNKED // share)):
            found = statuses(received)
            for status in found:
                report.answered(status, None, f"for {sent[:300]!r}")
            report.case(len(found) == 1, f"answers {found} to {sent[:300]!r}")
        for name, route, received in (
            row for rows in pool.map(_broken, range(BROKEN // share)) for row in rows
        ):
            found = statuses(received)
            report.answered(max(found, default=0), None, f"{name}, {route}: {received[:300]!r}")
            good = len(found) == 1 and (route != ROUTES[0] or b'"status_code": 7,' in received)
            report.case(good, f"{name}, {route}: answers {found}, {received[:300]!r}")
    log = (service.home / "log" / "error.log").read_text()
    report.case("Traceback" not in log, "a traceback in error.log")
    report.case(service.ask(picture_url=UNREACHABLE).code == 13, "a good request afterwards")


def _broken(seed: int) -> list[tuple[str, str, bytes]]:
    """Every kind of broken chunks, drawn anew, each for one route; another request stands behind it."""
    chance = random.Random(f"broken {seed}")  # noqa: S311
    rows = []
    for name, body in broken_chunks(chance).items():
        route = ROUTES[0] if chance.random() < 0.5 else chance.choice(ROUTES)
        rows.append((name, route, exchange(BIND, chunked(route, body) + SMUGGLED)))
    return rows


def _mutated_chunks(seed: int) -> tuple[bytes, bytes]:
    """A good body in chunks of drawn sizes, mutated after it was framed."""
    chance = random.Random(f"chunks {seed}")  # noqa: S311
    left, framed = b"{" + b" " * chance.randrange(900) + b"}", b""
    while left:
        size = chance.randrange(1, len(left) + 1)
        framed += b"%x\r\n%b\r\n" % (size, left[:size])
        left = left[size:]
    sent = chunked("POST /ocr", _mutated(framed + b"0\r\n\r\n", chance)).replace(
        b"Host: a\r\n", b"Host: a\r\nConnection: close\r\n", 1
    )
    return exchange(BIND, sent, ends=True), sent


def _bodies(service: Service, chance: random.Random) -> list[tuple[int, dict[str, Any], bytes]]:
    """Over one connection, from an address of its own: wrong signatures are limited by address."""
    outcomes = []
    source = f"127.{chance.randrange(1, 255)}.{chance.randrange(255)}.{chance.randrange(1, 255)}"
    connection = http.client.HTTPConnection("127.0.0.1", SERVICE_PORT, timeout=60, source_address=(source, 0))
    with contextlib.closing(connection):
        for _ in range(PER_CONNECTION):
            fields = service.caller().body(
                picture_url=UNREACHABLE, boxes=True, min_score="0.5", timeout_ms=5000
            )
            if chance.random() < 0.3:
                fields = _changed(fields, chance)
            data, kind = (
                _form(fields) if chance.random() < 0.3 else (json.dumps(fields).encode(), "application/json")
            )
            if chance.random() < 0.7:
                data = _mutated(data, chance)
            connection.request("POST", "/ocr", data, {"Content-Type": kind})
            answer = connection.getresponse()
            outcomes.append((answer.status, json.loads(answer.read()), data))
    return outcomes


def _form(fields: dict[str, Any]) -> tuple[bytes, str]:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    data = "".join([*parts, f"--{BOUNDARY}--\r\n"])
    return data.encode("utf-8", "surrogatepass"), f"multipart/form-data; boundary={BOUNDARY}"


def _raw(seed: int) -> tuple[int | None, bytes]:
    """A whole HTTP request, mutated, and the status that came back; None if there was none."""
    chance = random.Random(f"raw {seed}")  # noqa: S311
    sent = _mutated(REQUEST, chance)
    with socket.create_connection(("127.0.0.1", SERVICE_PORT), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                answer += part
    words = answer.split(b" ", 2)
    return (int(words[1]) if answer.startswith(b"HTTP/1.") else None), sent
