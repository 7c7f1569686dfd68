"""Slow clients, storms of connections, and more work than can be done.

The callers, Nginx, both instances and the picture host share the machine's cores. The tests marked `measure`
hold the figures to their targets, the others hold shorter runs to a third of them.
"""

from __future__ import annotations

import resource
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from io import BytesIO

import pytest
import requests

from samples.draw import receipt
from tests.gateway.conftest import Gateway, MakeGateway, await_true
from tests.gateway.load import Answers, callers, offered
from tests.picture_host import PictureHost, http
from tests.signing import Caller

ROUNDS = 3
"""Of a measurement; all of them count."""


def slow_clients(port: int) -> Iterator[socket.socket]:
    """500 that send a byte a second: half of them their header, half of them their body."""
    header = b"POST /ocr HTTP/1.1\r\nHost: ocr\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n"
    for n in range(500):
        connection = connect(port, f"127.0.1.{1 + n % 20}")
        connection.sendall(header + b"\r\n{" if n % 2 else header)
        yield connection


def storm(port: int) -> Iterator[socket.socket]:
    """2,000 connections as fast as they open: half of them ask, as scanners do, here and there."""
    asked = (
        b"GET /wp-login.php HTTP/1.1\r\nHost: ocr\r\n\r\n",
        (b"POST /ocr HTTP/1.1\r\nHost: ocr\r\nContent-Length: 2\r\n\r\n{}"),
    )
    for n in range(2000):
        connection = connect(port, f"127.0.2.{1 + n % 50}")
        if n % 2:
            connection.sendall(asked[n // 2 % 2])
        yield connection


def connect(port: int, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 20, (source, 0))


@contextmanager
def nobody() -> Iterator[int]:
    """A port that takes 4,096 connections and does nothing with them."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        yield listener.getsockname()[1]


@contextmanager
def attack(port: int, begin: Callable[[int], Iterator[socket.socket]]) -> Iterator[None]:
    """Open the connections, send a byte a second on each, and close them."""
    connections: list[socket.socket] = []
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(1):
            for connection in connections:
                with suppress(OSError):
                    connection.send(b"a")

    try:
        for connection in begin(port):
            connections.append(connection)
        thread = threading.Thread(target=go_on)
        thread.start()
        yield
        stop.set()
        thread.join()
    finally:
        stop.set()
        for connection in connections:
            connection.close()


Kind = Callable[[int], Iterator[socket.socket]]


@pytest.mark.alone
@pytest.mark.parametrize("kind", [slow_clients, storm])
def test_others_are_answered_under_attack(gateway: Gateway, kind: Kind) -> None:
    assert throughput_kept(gateway, kind, rounds=1, window_s=5) > 0.3


@pytest.mark.measure
@pytest.mark.parametrize("kind", [slow_clients, storm])
def test_others_keep_their_throughput(gateway: Gateway, kind: Kind) -> None:
    assert throughput_kept(gateway, kind, rounds=ROUNDS, window_s=10) >= 0.9


def throughput_kept(gateway: Gateway, kind: Kind, *, rounds: int, window_s: float) -> float:
    """The share of answers a second that other callers keep in the window from the first connection on.

    Each round attacks nobody first, which costs the attacker, who uses this machine's cores, as much.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    calm: list[float] = []
    attacked: list[float] = []
    caller = gateway.caller(f"beside-{kind.__name__}-{rounds}")
    try:
        with callers(gateway, caller) as answers:
            await_true(lambda: len(answers.statuses) > 20)
            for _ in range(rounds):
                for target, rates in ((nobody(), calm), (nullcontext(gateway.port), attacked)):
                    with target as port:
                        begun = time.monotonic()
                        with attack(port, kind):
                            time.sleep(window_s)
                            rates.append(answers.per_second(begun, time.monotonic()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert answers.wrong == []
    share = sum(attacked) / sum(calm)
    print(f"{kind.__name__}: answers/s calm {rounded(calm)}, attacked {rounded(attacked)}; kept {share:.2f}")
    return share


def rounded(rates: list[float]) -> list[float]:
    return [round(rate, 3) for rate in rates]


@pytest.fixture(scope="module")
def host() -> Iterator[PictureHost]:
    file = BytesIO()
    receipt().image.save(file, "PNG")
    with PictureHost({"/receipt.png": http(200, file.getvalue())}) as host:
        yield host


@pytest.fixture(scope="module")
def fetching(make_gateway: MakeGateway, host: PictureHost) -> Gateway:
    """Warmed up, because it is asked for its peak at once."""
    return make_gateway(
        OCR_FETCH__ALLOW_NETWORKS="127.0.0.0/8",
        OCR_FETCH__ALLOW_PORTS=host.port,
        OCR_ENGINE__QUEUE_WAIT_S=2,
        OCR_ENGINE__WARM_UP="true",
    )


@dataclass(frozen=True)
class Flood:
    """Answers a second before and during the flood; 99th percentiles of refusals and of `/healthz`."""

    peak: float
    goodput: float
    refusal_s: float
    health_s: float


@pytest.mark.alone
def test_five_times_more_than_can_be_done_is_refused_at_once(fetching: Gateway, host: PictureHost) -> None:
    flood = flooded(fetching, host, fetching.caller("flood"), seconds=10)
    assert flood.goodput > 0.3 * flood.peak
    assert max(flood.refusal_s, flood.health_s) < 3 * 0.1


@pytest.mark.measure
def test_five_times_more_than_can_be_done(fetching: Gateway, host: PictureHost) -> None:
    caller = fetching.caller("floods")
    rounds = [flooded(fetching, host, caller, seconds=16) for _ in range(ROUNDS)]
    assert sum(flood.goodput for flood in rounds) >= 0.95 * sum(flood.peak for flood in rounds)
    assert statistics.median(max(flood.refusal_s, flood.health_s) for flood in rounds) < 0.1


def flooded(gateway: Gateway, host: PictureHost, caller: Caller, seconds: int) -> Flood:
    """Ask five times the peak. The first quarter, in which the queue fills, does not count as goodput."""
    peak = closed_loop(gateway, caller, host, seconds / 2)
    assert peak, "the machine is too busy: four callers alone were refused"
    health: list[float] = []
    stop = threading.Event()
    watcher = threading.Thread(target=watch_health, args=(gateway, health, stop))
    watcher.start()
    begun = time.monotonic()
    answers = offered(5 * peak, seconds, lambda session: ask(gateway, caller, host, session).status_code)
    stop.set()
    watcher.join()
    assert set(answers.statuses) <= {200, 503, 429}
    assert answers.statuses.count(503) > answers.statuses.count(200)
    assert answers.begun_by(begun + seconds + 2) >= 0.9 * seconds * 5 * peak
    found = Flood(
        peak=peak,
        goodput=answers.per_second(begun + seconds / 4, begun + seconds),
        refusal_s=answers.slowest(0.99, 503, 429),
        health_s=sorted(health)[int(len(health) * 0.99)],
    )
    print(found)
    return found


def ask(gateway: Gateway, caller: Caller, host: PictureHost, session: requests.Session) -> requests.Response:
    answer = gateway.post(caller.body(picture_url=host.url("/receipt.png")), session)
    if answer.status_code in (503, 429):
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["status_code"] in (17, 12)
    return answer


def closed_loop(gateway: Gateway, caller: Caller, host: PictureHost, seconds: float) -> float:
    """The most that it answers a second: four callers who wait for each answer, after the first of them.

    Measured for so long, and on a slow machine until there are four answers more.
    """
    answers, stop = Answers(), threading.Event()

    def keep_asking() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                answers.add(ask(gateway, caller, host, session).status_code, 0)

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    await_true(lambda: len(answers.statuses) >= 4)
    begun, before = time.monotonic(), len(answers.statuses)
    time.sleep(seconds)
    await_true(lambda: len(answers.statuses) >= before + 4)
    ended = time.monotonic()
    stop.set()
    for thread in threads:
        thread.join()
    return answers.per_second(begun, ended)


def watch_health(gateway: Gateway, seconds: list[float], stop: threading.Event) -> None:
    with requests.Session() as session:
        while not stop.wait(0.05):
            begun = time.monotonic()
            assert session.get(f"{gateway.url}/healthz", timeout=10).ok
            seconds.append(time.monotonic() - begun)
