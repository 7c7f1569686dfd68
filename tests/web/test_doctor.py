"""`flask doctor` on sockets, disk and mover. test_cli.py tests its other checks."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask

from app import create_app
from app.wiring.state import build_mover
from config.settings import Settings
from tests.servers import RedisServer

Make = Callable[..., Flask]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """An application with a folder of its own. It has no models, whose loading takes a second."""

    def make(bind: str = "127.0.0.1:8081", **state: Any) -> Flask:
        own = {"database_url": f"sqlite:///{tmp_path}/ocr.sqlite", "key_file": tmp_path / "secret.key",
               "spool_dir": tmp_path / "spool"}  # fmt: skip
        log, engine = {"file": str(tmp_path / "ocr.log")}, {"models_dir": tmp_path, "crash_dir": tmp_path}
        app = create_app(Settings(bind=bind, state=own | state, log=log, engine=engine))
        assert app.test_cli_runner().invoke(args=["db", "init"]).exit_code == 0
        return app

    return make


def lines(app: Flask, about: str) -> list[str]:
    """The lines of `flask doctor` that contain a text."""
    output = app.test_cli_runner().invoke(args=["doctor"]).output
    return [line for line in output.splitlines() if about in line]


@pytest.mark.parametrize(
    ("mode", "word", "who"),
    [
        (0o700, "ok", "nobody else"),
        (0o710, "WRONG", "its group"),
        (0o701, "WRONG", "everybody"),
        (0o755, "WRONG", "everybody"),
    ],
)
def test_the_folder_of_a_socket_says_who_may_open_it(
    make: Make, tmp_path: Path, mode: int, word: str, who: str
) -> None:
    path = tmp_path / "web1" / "ocr.sock"
    path.parent.mkdir()
    path.parent.chmod(mode)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        for app in (make(f"unix:{path}"), make()):  # also where another instance listens there
            [found] = lines(app, f"{path} is open to")
            assert found.startswith(word) and f"its owner and {who}" in found
            roots = lines(app, f"the server of {path} runs as root")
            assert [line[:5] for line in roots] == (["WRONG"] if os.getuid() == 0 else [])


def test_the_sockets_of_database_and_redis_are_looked_at(make: Make, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    [found] = lines(make(redis_url=f"unix://{tmp_path}/run/r.sock"), "run/r.sock is open")
    assert found.startswith("WRONG") and found.endswith(f"chmod 700 {tmp_path}/run")


def test_too_little_disk(make: Make) -> None:
    about = "OCR_STATE__MIN_FREE_DISK_MB"
    assert {line[:5] for line in lines(make(min_free_disk_mb=1), about)} == {"ok   "}
    assert {line[:5] for line in lines(make(min_free_disk_mb=10**9), about)} == {"WRONG"}


def test_a_mover_that_never_ran_runs_falls_silent_and_leaves(make: Make, redis_server: RedisServer) -> None:
    with closing(redis.Redis(port=redis_server.port)) as client:
        client.flushall()
    app = make(redis_url=redis_server.url, claim_after_s=0.5)
    services = app.extensions["ocr"]
    assert [line[:5] for line in lines(app, "no mover runs: `flask usage flush`")] == ["WRONG"]
    mover = build_mover(services.settings, services.state)
    assert mover is not None
    mover.move()
    assert [line[:5] for line in lines(app, "a mover runs")] == ["ok   "]
    time.sleep(0.6)
    assert [line[:5] for line in lines(app, "has been silent")] == ["WRONG"]
    mover.move_all()
    assert lines(app, "no mover runs: `flask usage flush`")
    assert [line[:4] for line in lines(app, "Redis has no password")] == ["note"]
