"""How a server is asked: a busy answer is tried again, any other failure ends the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench import processes
from bench.processes import memory_mb, tree
from bench.servers import BenchError, Picture, Server, running

PICTURE = Picture("a.png", b"", "")


class BusyHost(ThreadingHTTPServer):
    """Answers with the statuses of `script`, one after the other, and then with 200."""

    def __init__(self) -> None:
        self.script: list[tuple[int, dict[str, str]]] = []
        self.nonces: list[int] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, BusyHost)
        self.server.nonces.append(body["nonce"])
        status, headers = self.server.script.pop(0) if self.server.script else (200, {})
        answer = b'{"lines": []}'
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(answer))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def host() -> Iterator[BusyHost]:
    server = BusyHost()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def asked(host: BusyHost) -> Server:
    nonces = iter(range(10))
    return Server(
        name="ours",
        command=[],
        env={},
        home=Path(),
        base_url=f"http://127.0.0.1:{host.server_port}",
        ready_path="/",
        request=lambda picture: {"json": {"nonce": next(nonces)}},
        lines=lambda answer: answer["lines"],
    )


def test_a_busy_server_is_asked_again_with_a_new_request(host: BusyHost) -> None:
    host.script = [(503, {"Retry-After": "1"}), (503, {"Retry-After": "0"})]
    begun = time.monotonic()
    answer = asked(host).read(PICTURE)
    assert (answer.busy, answer.body) == (2, {"lines": []})
    assert time.monotonic() - begun >= 1
    assert host.nonces == [0, 1, 2]


@pytest.mark.parametrize("status", [(503, {}), (500, {"Retry-After": "1"}), (422, {})])
def test_any_other_failure_is_told(host: BusyHost, status: tuple[int, dict[str, str]]) -> None:
    host.script = [status]
    with pytest.raises(BenchError, match=rf"ours answered {status[0]} for a.png"):
        asked(host).read(PICTURE)
    assert host.nonces == [0]


def test_a_server_that_is_busy_for_ever_is_given_up(host: BusyHost) -> None:
    host.script = [(503, {"Retry-After": "3600"})]
    with pytest.raises(BenchError, match="503"):
        asked(host).read(PICTURE)


def test_a_server_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = Server(
        "ours",
        [sys.executable, "-c", "raise SystemExit('no port')"],
        dict(os.environ),
        tmp_path,
        "http://127.0.0.1:9",
        "/",
        lambda picture: {},
        lambda answer: [],
    )
    with pytest.raises(BenchError, match="no port"), running(server):
        pass


def test_memory_is_that_of_a_process_and_its_children() -> None:
    """A process with a child that holds 50 MB, and ends when its input does."""
    child = "import sys; held = b'x' * 50_000_000; print('ready', flush=True); sys.stdin.read()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pids = tree(process.pid)
        assert len(pids) == 2
        assert memory_mb(pids) > 50
        assert memory_mb([process.pid]) < 40
    assert memory_mb(pids) == 0


def test_what_does_not_end_politely_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOPS_WITHIN_S", 0.5)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        processes.end(process)
        assert process.returncode == -signal.SIGKILL
