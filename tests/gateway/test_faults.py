"""Reloading, restarting and killing what is behind and before the gateway, under load: nothing is lost."""

from __future__ import annotations

import http.server
import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests

from config.settings import ROOT
from tests.gateway.conftest import Gateway, Instance, MakeGateway, await_true
from tests.gateway.load import callers
from tests.picture_host import PictureHost
from tests.picture_host import http as http_answer
from tests.process.test_faults import all_replaced
from tests.process.test_serving import png
from tests.signing import Caller

IN_FLIGHT = 10
PICTURE_TAKES_S = 2.0


def test_a_reload_of_nginx_loses_no_request(gateway: Gateway) -> None:
    with kept_asking(gateway, "reloads", reloaded=True):
        for _ in range(3):
            time.sleep(0.5)
            gateway.reload()


def test_sighup_to_both_instances_loses_no_request(gateway: Gateway) -> None:
    with kept_asking(gateway, "hangups"):
        for instance in gateway.instances:
            before = set(instance.workers())
            instance.signal(signal.SIGHUP)
            await_true(partial(all_replaced, instance.workers, before))


def test_a_rolling_restart_loses_no_request(gateway: Gateway) -> None:
    with kept_asking(gateway, "rollers"):
        for instance in gateway.instances:
            instance.stop()
            instance.start()
            gateway.await_ready()


@contextmanager
def kept_asking(gateway: Gateway, name: str, *, reloaded: bool = False) -> Iterator[None]:
    """Four callers at work all the while: each request is answered 200 with its own text and counted once."""
    caller = gateway.caller(name)
    with callers(gateway, caller, reloaded=reloaded) as answers:
        await_true(lambda: len(answers.statuses) > 4)
        yield
        after = len(answers.statuses)
        await_true(lambda: len(answers.statuses) > after + 8)
    assert answers.wrong == []
    assert gateway.records(name, "status_code = 6 AND charged") == gateway.records(name)
    assert gateway.records(name) == len(answers.statuses)


@pytest.fixture(scope="module")
def slow_host() -> Iterator[PictureHost]:
    """A host whose pictures take two seconds each, so that requests can be caught in flight."""

    def slowly(n: int) -> object:
        def send(connection: object) -> None:
            time.sleep(PICTURE_TAKES_S)
            connection.sendall(http_answer(200, png(n)[0]))  # type: ignore[attr-defined]

        return send

    with PictureHost({f"/{n}.png": slowly(n) for n in range(IN_FLIGHT)}) as host:  # type: ignore[misc]
        yield host


@pytest.fixture(scope="module")
def fetching(make_gateway: MakeGateway, slow_host: PictureHost) -> Gateway:
    return make_gateway(
        OCR_FETCH__ALLOW_NETWORKS="127.0.0.0/8",
        OCR_FETCH__ALLOW_PORTS=slow_host.port,
        OCR_FETCH__SLOTS=IN_FLIGHT * 4,  # a quarter for one user
        OCR_ENGINE__QUEUE_WAIT_S=30,
        WEB_CONCURRENCY=1,
    )


def kill_worker(instance: Instance) -> None:
    os.kill(instance.workers()[0], signal.SIGKILL)


def kill_master(instance: Instance) -> None:
    os.kill(instance.running.pid, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_worker, kill_master])
@pytest.mark.parametrize("victim", [0, 1])
def test_what_was_in_flight_when_a_process_was_killed_is_answered_and_counted_once(
    fetching: Gateway, slow_host: PictureHost, kill: object, victim: int
) -> None:
    name = f"{kill.__name__}-{victim}"  # type: ignore[attr-defined]
    caller = fetching.caller(name)
    instance = fetching.instances[victim]
    bodies = [caller.body(picture_url=slow_host.url(f"/{n}.png")) for n in range(IN_FLIGHT)]
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        sent = [pool.submit(fetching.post, body) for body in bodies]
        await_true(lambda: fetching.records(name, "status_code IS NULL") == IN_FLIGHT)
        kill(instance)  # type: ignore[operator]
        answers = [answer.result() for answer in sent]
    if instance.running.poll() is not None:
        instance.start()  # its socket is still there, with nobody behind it
    fetching.await_ready()
    assert [answer.status_code for answer in answers] == [200] * IN_FLIGHT, answers[0].text
    assert [answer.json()["result"] for answer in answers] == [png(n)[1] for n in range(IN_FLIGHT)]
    assert nonces(fetching, caller) == IN_FLIGHT
    assert fetching.records(name, "status_code = 6 AND charged") == fetching.records(name) == IN_FLIGHT
    lines = [fetching.access(answer.headers["X-Request-ID"]) for answer in answers]
    assert any(", unix:" in line["upstream"] for line in lines)
    assert {answer.status_code for answer in map(fetching.post, bodies[:2])} == {409}


def nonces(gateway: Gateway, caller: Caller) -> int:
    query = "SELECT count(*) FROM nonces JOIN users ON users.id = nonces.user_id WHERE username = ?"
    with closing(sqlite3.connect(gateway.prefix / "var" / "ocr.sqlite")) as database:
        [[count]] = database.execute(query, [caller.username])
    return int(count)


class Sibling(http.server.BaseHTTPRequestHandler):
    """A service of another kind, that says what it was told."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        told = "\n".join(f"{name}: {value}" for name, value in self.headers.items())
        self.wfile.write(f"{self.path}\n{told}".encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def sibling(name: str, port: int, deploy: Path) -> Iterator[None]:
    """The service itself, and its file in this `deploy`: the repository's example with another port."""
    text = (ROOT / "deploy" / "upstreams.d" / f"{name}.conf.example").read_text()
    assert f"127.0.0.1:{port};" in text
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sibling) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        file = deploy / "upstreams.d" / f"{name}.conf"
        file.write_text(text.replace(f":{port};", f":{server.server_port};"))
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


FORGED = {
    "Host": "ocr.example",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "ftp",
    "X-Request-ID": "forged",
}


def assert_told_the_truth(answer: requests.Response, path: str, scheme: str) -> None:
    """What a sibling saw of a request with FORGED headers."""
    seen, *lines = answer.text.splitlines()
    told = dict(line.split(": ", 1) for line in lines)
    assert (seen, told["Host"], told["X-Forwarded-For"]) == (path, "ocr.example", "127.0.0.1")
    assert told["X-Forwarded-Proto"] == scheme
    assert re.fullmatch("[0-9a-f]{32}", told["X-Request-ID"])


@pytest.mark.parametrize(("name", "port"), [("slt", 8082), ("fc", 8083)])
def test_a_sibling_service_is_off_until_there_is_its_file(gateway: Gateway, name: str, port: int) -> None:
    deploy = gateway.prefix / "deploy"
    assert requests.get(f"{gateway.url}/{name}/hello", timeout=10).status_code == 404
    with kept_asking(gateway, f"beside-{name}", reloaded=True), sibling(name, port, deploy):
        gateway.reload()
        answer = requests.get(f"{gateway.url}/{name}/hello", headers=FORGED, timeout=10)
    assert_told_the_truth(answer, f"/{name}/hello", "http")
