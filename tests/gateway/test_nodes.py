"""Two nodes behind one Nginx: instances with nothing in common but Redis, MariaDB and the key file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
import requests

from config.settings import ROOT
from tests.gateway.conftest import Gateway, Instance, MakeGateway, await_true, http_get
from tests.gateway.load import callers
from tests.process.test_serving import png
from tests.servers import MySqlServer, RedisServer, free_port
from tests.signing import Caller

STATES = ["mariadb", "redis"]
QUOTA = 12
REPLAYS = 5
FORGOTTEN_AFTER_S = 1.5  # Nginx's fail_timeout, and a bit: only then it takes a node for alive again
PORTS = (free_port(), free_port())


@dataclass
class Node(Instance):
    """An instance on a port, as on a machine of its own."""

    port: int = field(default=0)

    def __post_init__(self) -> None:
        self.port = PORTS[int(self.home.name[-1]) - 1]

    @property
    def env(self) -> dict[str, str]:
        return super().env | {"OCR_BIND": f"127.0.0.1:{self.port}", "OCR_AUTH__PROXIES": "127.0.0.1/32"}

    def started(self) -> bool:
        assert self.running.poll() is None, self.log("error.log")
        try:
            with socket.create_connection(("127.0.0.1", self.port), 60) as connection:
                connection.sendall(http_get("/readyz"))
                return connection.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def kill(self) -> None:
        """Master and workers at once: none of them finishes anything."""
        for pid in [self.running.pid, *self.workers()]:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module", params=STATES)
def nodes(
    request: pytest.FixtureRequest, make_gateway: MakeGateway, mysql_server: MySqlServer
) -> Iterator[Gateway]:
    mysql_server.drop_tables()
    redis_url = {} if request.param == "mariadb" else {"OCR_STATE__REDIS_URL": redis_of(request).url}
    gateway = make_gateway(
        ("nginx/upstream.conf", "nginx/upstream-machines.conf"),
        ("10.0.0.11:8081", f"127.0.0.1:{PORTS[0]}"),
        ("10.0.0.12:8081", f"127.0.0.1:{PORTS[1]}"),
        kind=Node,
        OCR_STATE__DATABASE_URL=mysql_server.url,
        OCR_STATE__MYSQL_TIMEOUT_S=60,
        **redis_url,
    )
    flush = [str(Path(sys.prefix, "bin", "flask")), "usage", "flush"]
    movers = [subprocess.Popen(flush, cwd=ROOT, env=node.env) for node in gateway.instances if redis_url]
    yield gateway
    for mover in movers:
        mover.terminate()
        mover.wait(30)
    gateway.stop()  # the ports are for the next one


def redis_of(request: pytest.FixtureRequest) -> RedisServer:
    server: RedisServer = request.getfixturevalue("redis_server")
    return server


def rows(server: MySqlServer, caller: Caller, condition: str = "true") -> int:
    query = f"SELECT count(*) FROM ocr.usage_records WHERE username = '{caller.username}' AND {condition}"  # noqa: S608
    [[count]] = server.execute(query)
    return int(count)


def test_both_nodes_do_their_share(nodes: Gateway, mysql_server: MySqlServer) -> None:
    caller = nodes.caller("sharer")
    before = [node.log("ocr.log").count('"status_code": 6') for node in nodes.instances]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: nodes.post(caller.body(picture=png(n)[0])), range(16)))
    assert [answer.json()["result"] for answer in answers] == [png(n)[1] for n in range(16)]
    done = [node.log("ocr.log").count('"status_code": 6') for node in nodes.instances]
    assert all(after > earlier for after, earlier in zip(done, before, strict=True))
    await_true(lambda: rows(mysql_server, caller, "status_code = 6 AND charged") == 16)


def test_a_quota_is_exact_over_both(nodes: Gateway, mysql_server: MySqlServer) -> None:
    caller = nodes.caller("limited")
    nodes.flask("users", "set-quota", "limited", str(QUOTA))
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: nodes.post(caller.body(picture=png(n)[0])), range(3 * QUOTA)))
    assert Counter(answer.status_code for answer in answers) == {200: QUOTA, 429: 2 * QUOTA}
    assert {answer.json()["error"] for answer in answers} == {None, "quota_exhausted"}
    await_true(lambda: rows(mysql_server, caller, "status_code = 6 AND charged") == QUOTA)
    assert rows(mysql_server, caller) == QUOTA


def test_a_nonce_counts_once_over_both(nodes: Gateway, mysql_server: MySqlServer) -> None:
    caller = nodes.caller("replayer")
    bodies = [caller.body(picture=png(n)[0]) for n in range(6)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(nodes.post, bodies * REPLAYS))
    assert Counter(answer.status_code for answer in answers) == {200: 6, 409: 6 * (REPLAYS - 1)}
    await_true(lambda: rows(mysql_server, caller, "status_code = 6") == 6)
    assert rows(mysql_server, caller) == 6


def test_a_sign_in_code_counts_once_over_both(nodes: Gateway) -> None:
    caller = nodes.caller("visitor")
    link = nodes.flask("users", "link", "visitor", "--base", "http://ocr.example")
    fields = {"username": "visitor", "code": link.strip().partition("code=")[2]}

    def sign_in(number: int) -> requests.Response:
        node = nodes.instances[number % 2]
        return requests.post(f"http://127.0.0.1:{node.port}/sign-in", json=fields, timeout=60)  # type: ignore[attr-defined]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(sign_in, range(50)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 49}
    [secret] = [answer.json()["secret"] for answer in answers if answer.ok]
    assert secret == caller.secret


def test_a_disabled_user_is_stopped_on_both_within_a_second(
    nodes: Gateway, mysql_server: MySqlServer
) -> None:
    """From the commit on; three times that, since other tests may have this machine's cores."""
    assert served_for_s(nodes, mysql_server, "leaver") < 3


def served_for_s(nodes: Gateway, mysql_server: MySqlServer, name: str) -> float:
    """How long after its disabling was committed the user sent the last request that was not refused."""
    caller, stop = nodes.caller(name), threading.Event()
    each: list[list[tuple[float, int]]] = [[] for _ in nodes.instances]

    def keep_asking(node: Node, answers: list[tuple[float, int]]) -> None:
        while not stop.wait(0.02):
            begun, body = time.monotonic(), caller.body(picture=b"no picture")
            answer = requests.post(f"http://127.0.0.1:{node.port}/ocr", json=body, timeout=60)
            answers.append((begun, answer.status_code))

    def refused_by_all() -> bool:
        return all([status for _, status in answers[-5:]] == [403] * 5 for answers in each)

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(keep_asking, *both) for both in zip(nodes.instances, each, strict=True)]  # type: ignore[arg-type]
        disabled = pool.submit(nodes.flask, "users", "disable", name)
        query = f"SELECT enabled FROM ocr.users WHERE username = '{name}'"  # noqa: S608
        try:
            await_true(lambda: mysql_server.execute(query) == [(0,)])
            committed = time.monotonic()
            await_true(refused_by_all)
        finally:
            stop.set()
        for job in (disabled, *asked):
            job.result()  # type: ignore[attr-defined]
    assert [answers[0][1] for answers in each] == [422, 422]
    return max(begun - committed for answers in each for begun, status in answers if status != 403)


def test_a_node_whose_processes_are_killed_loses_no_request(
    nodes: Gateway, mysql_server: MySqlServer
) -> None:
    caller, sent = nodes.caller("survivor"), 0
    for node in nodes.instances:
        with callers(nodes, caller) as answers:
            await_true(lambda: len(answers.statuses) > 8)
            node.kill()  # type: ignore[attr-defined]
            before = len(answers.statuses)
            await_true(lambda: len(answers.statuses) > before + 12)  # noqa: B023
            node.running.wait()
            node.start()
            nodes.await_ready()
            time.sleep(FORGOTTEN_AFTER_S)
        assert answers.wrong == []
        sent += len(answers.statuses)
    await_true(lambda: rows(mysql_server, caller, "status_code = 6 AND charged") == sent)
    assert rows(mysql_server, caller) == sent


def test_what_a_request_costs_the_stores(
    request: pytest.FixtureRequest, nodes: Gateway, mysql_server: MySqlServer
) -> None:
    """Statements to MariaDB, commands to Redis, for a picture and its record: docs/scaling.md quotes them."""
    server = redis_of(request) if "OCR_STATE__REDIS_URL" in nodes.instances[0].env else None
    caller = nodes.caller("costs")
    nodes.post(caller.body(picture=png(0)[0]))  # the user is read, connections are made
    await_true(lambda: rows(mysql_server, caller) == 1)
    before, begun = spent(mysql_server, server), time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: nodes.post(caller.body(picture=png(n)[0])), range(40)))
    await_true(lambda: rows(mysql_server, caller) == 41)
    after, took_s = spent(mysql_server, server), time.monotonic() - begun
    time.sleep(took_s)  # what the stores are asked without any request
    idle = spent(mysql_server, server)
    assert {answer.status_code for answer in answers} == {200}
    statements, commands = ((2 * b - a - c) / 40 for a, b, c in zip(before, after, idle, strict=True))
    print(f"a request: {statements:.1f} statements to MariaDB, {commands:.1f} commands to Redis")
    # The mover stores a batch with a few statements: the smaller the batch, the more for each record.
    assert statements < (20 if server is None else 9)
    assert commands < 28


def spent(mysql: MySqlServer, server: RedisServer | None) -> tuple[float, float]:
    """Statements and commands so far, those inside Redis's scripts too."""
    [[_, statements]] = mysql.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
    if server is None:
        return float(statements), 0.0
    with redis.Redis.from_url(server.url) as client:
        calls = sum(entry["calls"] for entry in client.info("commandstats").values())
    return float(statements), float(calls)
