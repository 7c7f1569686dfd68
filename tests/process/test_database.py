"""The real server on a real MySQL database: set up by the operator, and refused where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from config.settings import ROOT
from tests.process.conftest import COMMAND, OURS, Server
from tests.servers import MySqlServer, free_port

PICTURE = (ROOT / "samples" / "digits.png").read_bytes()


@pytest.fixture
def empty(mysql_server: MySqlServer) -> Iterator[MySqlServer]:
    mysql_server.drop_tables()
    yield mysql_server
    mysql_server.drop_tables()


def environment(home: Path, url: str) -> dict[str, str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return outer | {
        "OCR_HOME": str(home),
        "OCR_BIND": f"127.0.0.1:{free_port()}",
        "OCR_STATE__DATABASE_URL": url,
    }


def flask(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.prefix, "bin", "flask"))
    return subprocess.run([program, *arguments], cwd=ROOT, env=env, capture_output=True, text=True)


def test_a_server_on_tables_that_are_not_its_own_does_not_start(tmp_path: Path, empty: MySqlServer) -> None:
    env = environment(tmp_path, empty.url)

    done = subprocess.run(COMMAND, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)

    assert done.returncode != 0
    log = (tmp_path / "log" / "error.log").read_text()
    assert "has no tables yet: run `flask db init`" in log
    assert empty.PASSWORD not in log


def test_pictures_are_read_and_recorded_on_mysql(
    tmp_path: Path, empty: MySqlServer, start_server: Callable[..., Server]
) -> None:
    key = tmp_path / "secret.key"
    env = environment(tmp_path, empty.url) | {"OCR_STATE__KEY_FILE": str(key)}
    assert flask(env, "db", "status").returncode == 1
    made = flask(env, "db", "init")
    assert made.returncode == 0, made.stderr
    assert "***" in made.stdout
    assert flask(env, "db", "status").returncode == 0

    server = start_server(OCR_STATE__DATABASE_URL=empty.url, OCR_STATE__KEY_FILE=key)
    caller = server.caller("alice")
    answer = server.post(caller.body(picture=PICTURE))
    assert answer.status_code == 200
    with empty.stopped():
        away = server.post(caller.body(picture=PICTURE))
        assert (away.status_code, away.json()["error"]) == (503, "dependency_unavailable")
        unready = requests.get(f"{server.url}/readyz", timeout=30)
        assert (unready.status_code, unready.json()["store"]) == (503, "unavailable")
        assert 'ocr_store_faults_total{store="database"}' in server.metrics()
    give_up = time.monotonic() + 30
    while (back := server.post(caller.body(picture=PICTURE)).status_code) != 200:
        assert time.monotonic() < give_up, back
    assert empty.execute("SELECT status_code, charged FROM ocr.usage_records") == [(6, 1), (6, 1)]
    assert empty.execute("SELECT quota_used FROM ocr.users") == [(2,)]
    server.stop()
