"""What Nginx lets one address do, and how long it waits: for a client, and for an instance."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import requests

from config.settings import load_tips
from tests.gateway.conftest import Gateway, MakeGateway, await_true
from tests.gateway.test_errors import source

HALF_A_BODY = b"POST /ocr HTTP/1.1\r\nHost: ocr\r\nContent-Length: 10\r\n\r\n{"
HALF_A_HEADER = b"POST /ocr HTTP/1.1\r\nHost: ocr\r\nX: "


def half_sent(gateway: Gateway, address: str = "127.0.0.1", data: bytes = HALF_A_BODY) -> socket.socket:
    """A connection from this address, on which the rest of the request is still to come."""
    connection = socket.create_connection(("127.0.0.1", gateway.port), 60, (address, 0))
    connection.sendall(data)
    return connection


def ask(gateway: Gateway, address: str) -> requests.Response:
    """A request that the service itself answers by 415."""
    with source(address) as session:
        return session.post(f"{gateway.url}/ocr", data=b"{}", timeout=60)


def refused(gateway: Gateway, address: str) -> bool:
    answer = ask(gateway, address)
    if answer.status_code == 429:
        assert (answer.json()["status_code"], answer.json()["error"]) == (12, "rate_limited")
        assert answer.json()["tips"] == load_tips()["rate_limited"]["en"]
        assert int(answer.headers["Retry-After"]) >= 1
    return answer.status_code == 429


def test_one_address_has_so_many_requests_a_second_and_others_do_not_feel_it(gateway: Gateway) -> None:
    """They count when their headers are there, so no instance has to be fast for this."""

    def ask_too_often() -> bool:
        for _ in range(100):
            half_sent(gateway, "127.0.0.5").close()
        return refused(gateway, "127.0.0.5")

    await_true(ask_too_often, 60)
    assert ask(gateway, "127.0.0.6").status_code == 415
    told = [line for line in gateway.log("nginx-error.log").splitlines() if "client: 127.0.0.5," in line]
    assert any("limiting requests" in line for line in told)


def test_one_address_has_so_many_requests_at_once_and_others_do_not_feel_it(gateway: Gateway) -> None:
    with ExitStack() as held:
        for _ in range(90):
            held.enter_context(half_sent(gateway, "127.0.0.7"))
        assert ask(gateway, "127.0.0.7").status_code == 415
        for _ in range(20):
            held.enter_context(half_sent(gateway, "127.0.0.7"))
        await_true(lambda: refused(gateway, "127.0.0.7"))
        assert ask(gateway, "127.0.0.6").status_code == 415
    await_true(lambda: not refused(gateway, "127.0.0.7"))
    told = [line for line in gateway.log("nginx-error.log").splitlines() if "client: 127.0.0.7," in line]
    assert any("limiting connections" in line for line in told)
    assert not any("limiting requests" in line for line in told)


@pytest.fixture(scope="module")
def hasty(make_gateway: MakeGateway) -> Gateway:
    """A gateway that waits for a second where ours waits for ten or seventy."""
    return make_gateway(
        ("client_header_timeout 10s;", "client_header_timeout 1s;"),
        ("client_body_timeout 10s;", "client_body_timeout 1s;"),
        ("proxy_read_timeout 70s;", "proxy_read_timeout 1s;"),
    )


@pytest.mark.parametrize("half", [HALF_A_HEADER, HALF_A_BODY], ids=["header", "body"])
def test_a_request_that_stops_half_way_is_ended(hasty: Gateway, half: bytes) -> None:
    with half_sent(hasty, data=half) as connection:
        assert rest(connection) == b""


def test_a_header_that_comes_byte_by_byte_is_ended_too(hasty: Gateway) -> None:
    """All of it must be there in time; a body only has to go on."""
    with half_sent(hasty, data=HALF_A_HEADER) as connection:
        await_true(lambda: not goes_on(connection))


def goes_on(connection: socket.socket) -> bool:
    time.sleep(0.2)
    try:
        return connection.send(b"a") == 1
    except ConnectionError:
        return False


def rest(connection: socket.socket) -> bytes:
    """What comes until the other side ends it; a TimeoutError if it does not."""
    try:
        return b"".join(iter(lambda: connection.recv(65536), b""))
    except ConnectionResetError:
        return b""


@contextmanager
def stuck(gateway: Gateway) -> Iterator[None]:
    """Workers that take connections, as the kernel does for them, and say nothing."""
    workers = [pid for instance in gateway.instances for pid in instance.workers()]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


def test_an_instance_that_says_nothing_is_busy_and_no_other_is_asked(hasty: Gateway) -> None:
    with stuck(hasty):
        answer = requests.post(f"{hasty.url}/ocr", json={}, timeout=60)
    assert (answer.status_code, answer.json()["status_code"], answer.json()["error"]) == (503, 17, "busy")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert int(answer.headers["Retry-After"]) >= 1
    line = hasty.access(answer.json()["request_id"])
    assert (line["http"], line["upstream_http"]) == (503, "504")  # of two tries it has "504, 504"
    hasty.await_ready()
