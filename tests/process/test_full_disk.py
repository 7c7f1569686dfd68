"""A disk that is full while the server runs: it goes on, says so, and needs no restart when there is room."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import redis
import requests

from config.settings import ROOT
from tests.disks import SmallDisk, small_disk
from tests.process.conftest import COMMAND, QUICK_START, STARTS_WITHIN_S, Server
from tests.process.test_crash import await_true
from tests.process.test_database import environment, flask
from tests.process.test_metrics import Samples, samples, shown
from tests.process.test_serving import patiently
from tests.servers import MySqlServer, RedisServer, free_port
from tests.signing import Caller

PICTURE = (ROOT / "samples" / "digits.png").read_bytes()
GRANTED = 100
RECOVERS_WITHIN_S = 10


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@dataclass
class Place:
    """Where a server will write all that it writes: its settings, and the commands of the operator."""

    env: dict[str, str]
    home: Path

    def caller(self, name: str) -> Caller:
        assert flask(self.env, "db", "init").returncode == 0
        return Caller(name, flask(self.env, "users", "add", name, "--quota", str(GRANTED)).stdout.split()[-1])

    @contextmanager
    def serving(self) -> Iterator[Server]:
        master = subprocess.Popen(COMMAND, cwd=ROOT, env=self.env)
        server = Server(master, self.home, self.env["OCR_BIND"], self.env)
        try:
            await_true(lambda: serves(server), STARTS_WITHIN_S)
            yield server
        finally:
            status = server.stop()  # before the disk is unmounted
        assert status == 0


@pytest.fixture
def place(disk: SmallDisk, models_dir: Path) -> Place:
    env = environment(disk.folder, f"sqlite:///{disk.folder}/var/ocr.sqlite")
    env |= {"OCR_ENGINE__MODELS_DIR": str(models_dir), "WEB_CONCURRENCY": "1", "OCR_AUTH__RATE_BURST": "1000"}
    env |= QUICK_START
    env["OCR_METRICS__BIND"] = f"127.0.0.1:{free_port()}"
    return Place(env, disk.folder)


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


def reload(server: Server) -> None:
    with another_worker(server):
        server.master.send_signal(signal.SIGHUP)


def grown(server: Server, sample: tuple[str, str], before: Samples) -> bool:
    return samples(server).get(sample, 0) > before.get(sample, 0)


def test_sqlite_on_a_full_disk(place: Place, disk: SmallDisk) -> None:
    """It starts on one, goes on whatever ends a worker or opens a file again, and recovers by itself."""
    alice = place.caller("alice")
    log, crashes = disk.folder / "log", disk.folder / "var" / "crashes"
    disk.fill()
    with place.serving() as server:
        assert asked(server, alice) == 18
        disk.empty()
        await_true(lambda: asked(server, alice) == 6, RECOVERS_WITHIN_S)
        reload(server)
        assert int(server.log("gunicorn.pid")) == server.master.pid  # a full disk had no room for it
        await_true(lambda: shown(server))
        before = samples(server)

        disk.fill()
        unready = requests.get(f"{server.url}/readyz", timeout=10)
        assert (unready.status_code, unready.json()["disk"]) == (503, "full")
        assert unready.json()["free_bytes"][str(log)] == 0
        assert asked(server, alice) == 18
        with another_worker(server):
            [crashing] = server.workers()
            os.kill(crashing, signal.SIGKILL)
        assert asked(server, alice) == 18
        reload(server)
        server.master.send_signal(signal.SIGUSR1)
        assert asked(server, alice) == 18
        assert int(server.log("gunicorn.pid")) == server.master.pid
        await_true(lambda: shown(server))
        assert samples(server)["ocr_worker_exits_total", ""] == before["ocr_worker_exits_total", ""] + 2
        assert samples(server)["ocr_disk_free_bytes", str(log)] == 0
        [worker] = server.workers()

        disk.empty()
        await_true(lambda: requests.get(f"{server.url}/readyz", timeout=10).ok, RECOVERS_WITHIN_S)
        answer = patiently(server, alice, PICTURE)
        assert answer["status_code"] == 6
        assert answer["quota"] == {"limit": GRANTED, "remaining": GRANTED - 2}
        await_true(lambda: list(crashes.glob(f"{worker}-*")), RECOVERS_WITHIN_S)
        # A worker counts in memory until its next request after there is room; others may have ended before.
        for key in (("ocr_requests_total", code) for code in ("18", "6")):
            await_true(lambda: asked(server, alice) == 6, RECOVERS_WITHIN_S)
            await_true(partial(grown, server, key, before), RECOVERS_WITHIN_S)
        assert server.workers() == [worker]
        for line in server.log("ocr.log").splitlines():
            assert json.loads(line)  # whole
    assert not (log / "gunicorn.pid").exists()


def test_redis_and_mariadb_behind_a_full_disk(
    place: Place, disk: SmallDisk, redis_server: RedisServer, mysql_server: MySqlServer
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    mysql_server.drop_tables()
    place.env |= {"OCR_STATE__REDIS_URL": redis_server.url, "OCR_STATE__DATABASE_URL": mysql_server.url}
    bob = place.caller("bob")
    with place.serving() as server:
        await_true(lambda: requests.get(f"{server.url}/readyz", timeout=10).ok, STARTS_WITHIN_S)
        assert asked(server, bob) == 6
        disk.fill()
        said = requests.get(f"{server.url}/readyz", timeout=10)
        assert (said.status_code, said.json()["disk"]) == (200, "full")  # it serves
        with another_worker(server):
            [old] = server.workers()
            server.master.send_signal(signal.SIGHUP)
            await_true(lambda: len(server.workers()) == 2)
            os.kill(old, signal.SIGKILL)
        assert asked(server, bob) == 6
        with redis_server.stopped():
            assert asked(server, bob) == 18
        assert not [file for file in disk.folder.rglob("spool/*") if file.stat().st_size == 0]

        disk.empty()
        await_true(lambda: asked(server, bob) == 6, RECOVERS_WITHIN_S)
        server.flask("usage", "flush", "--once")
        read = mysql_server.execute("SELECT status_code FROM ocr.usage_records WHERE username = 'bob'")
        codes = Counter(code for (code,) in read)
        left = server.post(bob.body(picture=PICTURE)).json()["quota"]["remaining"]
        assert codes[6] == 3 and left == GRANTED - 4
