"""The same service behind uwsgi_pass: gunicorn in that protocol, and uWSGI itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.settings import ROOT
from tests.gateway.conftest import Gateway, Instance, MakeGateway, ask_over_socket, await_true, uwsgi_get
from tests.gateway.load import callers
from tests.gateway.test_forgery import FORGED
from tests.process.test_serving import png
from tests.signing import Caller

UWSGI = Path(sys.prefix, "bin", "uwsgi")
OVER_UWSGI = ("nginx/pass-http.conf", "nginx/pass-uwsgi.conf")


class UwsgiInstance(Instance):
    """uWSGI with deploy/uwsgi.ini, in the gateway's own prefix."""

    @classmethod
    def home_in(cls, prefix: Path, n: int) -> Path:
        return prefix

    @property
    def socket(self) -> Path:
        return self.home / "var" / "uwsgi.sock"

    def start(self) -> None:
        for name in ("config", "samples", "models", "app"):
            if not (self.home / name).exists():
                (self.home / name).symlink_to(ROOT / name)
        (self.home / ".venv").symlink_to(sys.prefix)
        self.master = subprocess.Popen([UWSGI, "--ini", "deploy/uwsgi.ini"], cwd=self.home, env=self.env)

    def started(self) -> bool:
        assert self.running.poll() is None, self.log("uwsgi.log")
        return ask_over_socket(self.socket, uwsgi_get("/readyz")).startswith(b"HTTP/1.1 200")


@pytest.fixture(scope="module")
def over_gunicorn(make_gateway: MakeGateway) -> Gateway:
    return make_gateway(OVER_UWSGI, OCR_PROTOCOL="uwsgi")


@pytest.fixture(scope="module")
def over_uwsgi(make_gateway: MakeGateway) -> Gateway:
    if not UWSGI.exists():
        pytest.skip("uWSGI is not installed: pip install pyuwsgi")
    return make_gateway(
        OVER_UWSGI, ("nginx/upstream.conf", "nginx/upstream-uwsgi.conf"), instances=1, kind=UwsgiInstance
    )


@pytest.fixture(params=["over_gunicorn", "over_uwsgi"])
def gateway(request: pytest.FixtureRequest) -> Gateway:
    found: Gateway = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def caller(gateway: Gateway, request: pytest.FixtureRequest) -> Caller:
    return gateway.caller(request.node.name.split("[")[0][-40:])


def test_pictures_at_once_are_each_read_as_themselves(gateway: Gateway, caller: Caller) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: gateway.post(caller.body(picture=png(n)[0])), range(12)))
    assert [answer.json()["result"] for answer in answers] == [png(n)[1] for n in range(12)]
    assert gateway.records(caller.username, "status_code = 6") == 12


def test_the_request_id_is_nginxs_own_and_forged_headers_are_neutral(
    gateway: Gateway, caller: Caller
) -> None:
    answer = gateway.post(caller.body(picture=png(1)[0]), headers=FORGED)
    given = answer.headers["X-Request-ID"]
    assert given == answer.json()["request_id"] != FORGED["X-Request-ID"]
    assert gateway.access(given)["http"] == 200
    told = "".join(instance.log("ocr.log") for instance in gateway.instances).splitlines()
    [line] = [json.loads(line) for line in told if given in line]
    assert line["address"] == "127.0.0.1"


def test_a_large_body_arrives_whole(gateway: Gateway, caller: Caller) -> None:
    picture, text = png(2)
    answer = gateway.post(caller.body(picture=picture + bytes(5_000_000)))
    assert answer.json()["result"] == text
    assert gateway.post({"username": "x" * 15_000_000}).status_code == 413


def test_a_killed_worker_costs_no_request(over_gunicorn: Gateway) -> None:
    caller = over_gunicorn.caller("survivor")
    with callers(over_gunicorn, caller) as answers:
        await_true(lambda: len(answers.statuses) > 8)
        for instance in over_gunicorn.instances:
            os.kill(instance.workers()[0], signal.SIGKILL)
            over_gunicorn.await_ready()
    assert answers.wrong == []
    assert over_gunicorn.records("survivor", "status_code = 6 AND charged") == len(answers.statuses)
