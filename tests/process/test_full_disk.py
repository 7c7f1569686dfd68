"""A disk that is full while the server runs: it goes on, says so, and needs no restart when there is room."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis
import requests

from config.settings import ROOT
from tests.disks import SmallDisk, small_disk
from tests.process.conftest import COMMAND, STARTS_WITHIN_S, Server
from tests.process.test_crash import await_true
from tests.process.test_database import environment, flask
from tests.process.test_metrics import samples, shown
from tests.process.test_serving import patiently
from tests.servers import MySqlServer, RedisServer
from tests.signing import Caller

PICTURE = (ROOT / "samples" / "digits.png").read_bytes()
GRANTED = 100
RECOVERS_WITHIN_S = 10


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


StartOn = Callable[..., Server]


@pytest.fixture
def start_on(start_server: Callable[..., Server], disk: SmallDisk) -> Iterator[StartOn]:
    """start_on(NAME=value): a server with all that it writes on the small disk."""
    started = []

    def start(**variables: object) -> Server:
        server = start_server(OCR_HOME=disk.folder, WEB_CONCURRENCY=1, **variables)
        started.append(replace(server, home=disk.folder))
        return started[-1]

    yield start
    for server in started:  # before the disk is unmounted
        server.stop()


def asked(server: Server, caller: Caller) -> int:
    """The status_code of an answer; a refusal says when to come back."""
    answer = server.post(caller.body(picture=PICTURE))
    assert answer.status_code in (200, 503)
    assert answer.status_code == 200 or int(answer.headers["Retry-After"]) >= 1
    code: int = answer.json()["status_code"]
    return code


def serves(server: Server) -> bool:
    try:
        return requests.get(f"{server.url}/healthz", timeout=5).ok
    except requests.RequestException:
        return False


@contextmanager
def another_worker(server: Server) -> Iterator[None]:
    [old] = server.workers()
    yield
    await_true(lambda: server.workers() and old not in server.workers(), STARTS_WITHIN_S)
    await_true(lambda: serves(server), STARTS_WITHIN_S)
    assert server.master.poll() is None


def go_through_it(server: Server, caller: Caller, code: int) -> None:
    """Everything that ends a worker or opens a file again, on the full disk. code: of each answer."""
    assert asked(server, caller) == code
    with another_worker(server):
        os.kill(*server.workers(), signal.SIGKILL)
    assert asked(server, caller) == code
    with another_worker(server):
        server.master.send_signal(signal.SIGHUP)
    server.master.send_signal(signal.SIGUSR1)
    assert asked(server, caller) == code
    assert int(server.log("gunicorn.pid")) == server.master.pid


def test_sqlite_on_a_full_disk(start_on: StartOn, disk: SmallDisk) -> None:
    server = start_on(OCR_AUTH__RATE_BURST=1000)
    alice = Caller("alice", server.flask("users", "add", "alice", "--quota", str(GRANTED)).split()[-1])
    assert patiently(server, alice, PICTURE)["status_code"] == 6
    disk.fill()
    unready = requests.get(f"{server.url}/readyz", timeout=10)
    assert (unready.status_code, unready.json()["disk"]) == (503, "full")
    assert unready.json()["free_bytes"][str(disk.folder / "log")] == 0
    go_through_it(server, alice, 18)
    await_true(lambda: shown(server))
    assert samples(server)["ocr_worker_exits_total", ""] == 2
    assert samples(server)["ocr_disk_free_bytes", str(disk.folder / "log")] == 0
    [worker] = server.workers()

    disk.empty()
    await_true(lambda: requests.get(f"{server.url}/readyz", timeout=10).ok, RECOVERS_WITHIN_S)
    answer = patiently(server, alice, PICTURE)
    assert answer["status_code"] == 6
    assert answer["quota"] == {"limit": GRANTED, "remaining": GRANTED - 2}
    crashes = disk.folder / "var" / "crashes"
    await_true(lambda: list(crashes.glob(f"{worker}-*")), RECOVERS_WITHIN_S)
    counted = samples(server)
    assert counted["ocr_requests_total", "18"] == 3
    assert counted["ocr_requests_total", "6"] == 2
    assert server.workers() == [worker]
    for line in server.log("ocr.log").splitlines():
        assert json.loads(line)  # whole
    assert server.stop() == 0
    assert not (disk.folder / "log" / "gunicorn.pid").exists()


def test_a_start_on_a_full_disk(disk: SmallDisk, models_dir: Path) -> None:
    env = environment(disk.folder, f"sqlite:///{disk.folder}/var/ocr.sqlite")
    env |= {"OCR_ENGINE__MODELS_DIR": str(models_dir), "WEB_CONCURRENCY": "1"}
    assert flask(env, "db", "init").returncode == 0
    alice = Caller("alice", flask(env, "users", "add", "alice").stdout.split()[-1])
    disk.fill()
    server = Server(subprocess.Popen(COMMAND, cwd=ROOT, env=env), disk.folder, env["OCR_BIND"], env)
    try:
        await_true(lambda: serves(server), STARTS_WITHIN_S)
        assert asked(server, alice) == 18
        disk.empty()
        await_true(lambda: asked(server, alice) == 6, RECOVERS_WITHIN_S)
        with another_worker(server):
            server.master.send_signal(signal.SIGHUP)
        assert int(server.log("gunicorn.pid")) == server.master.pid
    finally:
        assert server.stop() == 0


def test_redis_and_mariadb_behind_a_full_disk(
    start_on: StartOn, disk: SmallDisk, redis_server: RedisServer, mysql_server: MySqlServer
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    mysql_server.drop_tables()
    urls = {"OCR_STATE__REDIS_URL": redis_server.url, "OCR_STATE__DATABASE_URL": mysql_server.url}
    assert flask(environment(disk.folder, mysql_server.url), "db", "init").returncode == 0
    server = start_on(**urls)
    bob = Caller("bob", server.flask("users", "add", "bob", "--quota", str(GRANTED)).split()[-1])
    assert asked(server, bob) == 6
    disk.fill()
    told = requests.get(f"{server.url}/readyz", timeout=10)
    assert (told.status_code, told.json()["disk"]) == (200, "full")  # it serves
    go_through_it(server, bob, 6)
    with redis_server.stopped():
        assert asked(server, bob) == 18
    assert not [file for file in disk.folder.rglob("spool/*") if file.stat().st_size == 0]

    disk.empty()
    await_true(lambda: asked(server, bob) == 6, RECOVERS_WITHIN_S)
    server.flask("usage", "flush", "--once")
    read = mysql_server.execute("SELECT status_code, charged FROM ocr.usage_records WHERE username = 'bob'")
    codes = Counter(code for code, _ in read)
    left = server.post(bob.body(picture=PICTURE)).json()["quota"]["remaining"]
    assert codes[6] == 5 and left == GRANTED - 6
