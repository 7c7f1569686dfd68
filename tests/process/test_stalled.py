"""Clients that connect and do not go on: their room and memory have bounds, and everybody else is served."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from config.settings import ROOT, Settings
from tests.process.conftest import Server
from tests.process.framing import exchange, statuses
from tests.process.stalled import HEAD, KINDS, LOOPBACK, MIB, stalled, still_open
from tests.process.test_serving import resident_bytes
from tests.signing import Caller

COUNT = 1050  # gunicorn has room for 1,000
BODY_TIMEOUT_S = 3
BUDGET_MIB, SHARE_MIB = 120, 75
ATTACKERS = 40
HEAP_MIB = 120  # freed pieces of chunks that glibc keeps for the next; all bodies are 480 MiB
LARGE = HEAD + b"Content-Length: %d\r\n\r\n" % (13 * MIB) + b" " * MIB
PROMPT_S = 1
SETTLED_S = 20
"""The requests of those that stall have to be received first, and this machine has others to serve."""


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server]) -> Server:
    return start_server(
        OCR_LIMITS__BODY_TIMEOUT_S=BODY_TIMEOUT_S,
        OCR_LIMITS__UNPROVEN_BYTES=BUDGET_MIB * MIB,
        OCR_LIMITS__UNPROVEN_BYTES_PER_ADDRESS=SHARE_MIB * MIB,
    )


@pytest.fixture(scope="module")
def alice(server: Server) -> Caller:
    return server.caller()


def seconds_for(server: Server, method: str, path: str, body: bytes | None = None) -> float:
    """On a connection of its own."""
    connection = http.client.HTTPConnection(server.bind, timeout=30)
    started = time.monotonic()
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == 200, text
    return time.monotonic() - started


@pytest.mark.parametrize(("kind", "addresses"), [*zip(KINDS, itertools.cycle([1, len(LOOPBACK)]))])
def test_silent_clients_keep_nobody_out(server: Server, alice: Caller, kind: str, addresses: int) -> None:
    sent, drips = KINDS[kind]
    picture = (ROOT / "samples" / "digits.png").read_bytes()
    with stalled(server.bind, COUNT, sent, drips=drips, sources=LOOPBACK[:addresses]) as held:
        give_up = time.monotonic() + SETTLED_S
        prompt = 0
        while prompt < 3:
            assert time.monotonic() < give_up, prompt
            prompt = prompt + 1 if seconds_for(server, "GET", "/healthz") < PROMPT_S else 0
        assert seconds_for(server, "POST", "/ocr", json.dumps(alice.body(picture=picture)).encode()) < 20
        assert still_open(held) < COUNT


def test_a_body_in_chunks_is_answered_once_it_is_there(server: Server, alice: Caller) -> None:
    """However crowded the worker is: chunks may not wait for as long as those that stall."""
    body = json.dumps(alice.body(picture_url="http://127.0.0.1/a.png")).encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:50], body[50:], b""))
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    with stalled(server.bind, COUNT // 2, HEAD, sources=LOOPBACK):
        seconds_for(server, "GET", "/healthz")
        started = time.monotonic()
        assert code(exchange(server.bind, head + chunks)) == 13
        assert time.monotonic() - started < 2.5  # of the 5 s that a body in chunks may take to arrive


def test_a_body_that_does_not_come_is_refused_in_time(server: Server) -> None:
    for sent in (
        HEAD + b"Content-Length: 100\r\n\r\n{",
        HEAD + b"Content-Length: %d\r\n\r\n{" % (2 * MIB),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ):
        started = time.monotonic()
        answer = exchange(server.bind, sent)
        assert BODY_TIMEOUT_S - 1 < time.monotonic() - started < BODY_TIMEOUT_S + 10
        assert statuses(answer) == [400]
        assert code(answer) == 7


def test_large_bodies_wait_within_a_budget(server: Server, alice: Caller) -> None:
    """An address has its share, all have the sum, and what only names a picture fits in any case."""
    codes = {}
    refused = counted(server, "ocr_requests", 17)
    signed = counted(server, "ocr_signed_requests", 17)
    with stalled(server.bind, 9, LARGE, sources=["127.0.9.1"] * 5 + ["127.0.9.2"] * 4):
        time.sleep(0.5)
        for source in ("127.0.9.1", "127.0.9.3"):
            started = time.monotonic()
            answer = exchange(server.bind, LARGE, source=source)
            assert time.monotonic() - started < BODY_TIMEOUT_S / 2
            assert b"\r\nRetry-After: 2\r\n" in answer
            assert b"\r\nConnection: close\r\n" in answer
            codes[source] = code(answer)
        small = json.dumps(alice.body(picture_url="http://127.0.0.1/a.png")).encode()
        asked = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(small) + small
        assert code(exchange(server.bind, asked, source="127.0.9.1")) == 13
    assert codes == {"127.0.9.1": 12, "127.0.9.3": 17}
    assert counted(server, "ocr_requests", 17) > refused
    assert counted(server, "ocr_signed_requests", 17) == signed


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_stalled_large_bodies_hold_no_more_memory_than_their_budget(server: Server, framing: str) -> None:
    time.sleep(BODY_TIMEOUT_S)
    [worker] = server.workers()
    head, block = LARGE[:-MIB], b" " * MIB
    if framing == "chunks":
        head, block = HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n" % (MIB, block)
    before = resident_bytes(worker)
    with stalled(server.bind, ATTACKERS, head, sources=[f"127.0.9.{n}" for n in range(1, 11)]) as held:

        def send(connection: socket.socket) -> None:
            connection.settimeout(BODY_TIMEOUT_S)
            with contextlib.suppress(OSError):
                for _ in range(12):
                    connection.sendall(block)

        with ThreadPoolExecutor(ATTACKERS) as pool:
            sent = pool.map(send, held)
            most = 0
            until = time.monotonic() + BODY_TIMEOUT_S
            while time.monotonic() < until:
                most = max(most, resident_bytes(worker))
                time.sleep(0.02)
            list(sent)
    assert (most - before) / MIB < 1.2 * BUDGET_MIB + (HEAP_MIB if framing == "chunks" else 0)


def test_a_batch_of_the_largest_bodies_at_once_is_not_refused() -> None:
    """Eight threads at one address, with the settings as they come."""
    limits = Settings().limits
    assert 8 * limits.max_body_bytes <= limits.unproven_bytes_per_address


def counted(server: Server, counter: str, code: int) -> float:
    found = re.search(rf'^{counter}_total{{status_code="{code}"}} (\S+)$', server.metrics(), re.MULTILINE)
    return float(found[1]) if found else 0


def code(answer: bytes) -> int:
    found: int = json.loads(answer.partition(b"\r\n\r\n")[2])["status_code"]
    return found
