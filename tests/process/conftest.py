"""The real server: gunicorn as an operator starts it, on a free loopback port, with a home of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from app.system.clock import SystemClock
from app.wiring.state import build_state
from config.settings import ROOT, Settings
from tests.decode_cost import children
from tests.servers import free_port
from tests.signing import Caller

STARTS_WITHIN_S = 120
STOPS_WITHIN_S = 60
OURS = ("OCR_", "PYTHONPATH", "PROMETHEUS_", "WEB_")
QUICK_START = {"OCR_ENGINE__RUNTIME": "onnxruntime", "OCR_ENGINE__CORES": "1", "OCR_ENGINE__THREADS": "1"}
"""For tests in which workers start often: ONNX Runtime loads the models in a third of OpenVINO's time."""
COMMAND = [str(Path(sys.prefix, "bin", "gunicorn")), "--config", "gunicorn.py", "run_ocr_flask:app"]


def add_user(env: Mapping[str, str], name: str, **options: Any) -> Caller:
    """A user of the server with this environment, as by `flask users add`, but without a new process."""
    var = f"{env['OCR_HOME']}/var"
    state = {
        "database_url": env.get("OCR_STATE__DATABASE_URL", f"sqlite:///{var}/ocr.sqlite"),
        "key_file": env.get("OCR_STATE__KEY_FILE", f"{var}/secret.key"),
        "redis_url": env.get("OCR_STATE__REDIS_URL", ""),
    }
    parts = build_state(Settings(state=state), SystemClock(), failed=pytest.fail)
    with closing(parts.store):
        return Caller(name, parts.store.users.add(name, **options))


@dataclass(frozen=True)
class Server:
    """A running gunicorn; `env` is what its command line tools need to find the same home."""

    master: subprocess.Popen[bytes]
    home: Path
    bind: str
    env: dict[str, str]

    def metrics(self) -> str:
        """What Prometheus is shown."""
        return requests.get(f"http://{self.env['OCR_METRICS__BIND']}/metrics", timeout=10).text

    @property
    def url(self) -> str:
        return f"http://{self.bind}"

    def post(
        self, body: dict[str, Any], session: requests.Session | None = None, **options: Any
    ) -> requests.Response:
        return (session or requests).post(f"{self.url}/ocr", json=body, timeout=90, **options)

    def flask(self, *arguments: str) -> str:
        """What a command of the operator's prints."""
        done = subprocess.run(
            [str(Path(sys.prefix, "bin", "flask")), *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def caller(self, name: str = "alice", **options: Any) -> Caller:
        return add_user(self.env, name, **options)

    def workers(self) -> list[int]:
        return children(self.master.pid)

    def await_ready(self) -> None:
        give_up = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < give_up:
            assert self.master.poll() is None, self.log("error.log")
            try:
                if requests.get(f"{self.url}/readyz", timeout=5).ok:
                    return
            except (requests.ConnectionError, requests.Timeout):  # not there yet, or still starting
                pass
            time.sleep(0.1)
        pytest.fail(f"not ready in {STARTS_WITHIN_S} s: {self.log('error.log')}")

    def stop(self) -> int:
        """Graceful, as an operator stops it; the exit status."""
        if self.master.poll() is None:
            self.master.send_signal(signal.SIGTERM)
        return self.master.wait(STOPS_WITHIN_S)

    def end(self) -> None:
        """As stop; what does not stop is killed, and that is an error."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            for pid in [*self.workers(), self.master.pid]:
                os.kill(pid, signal.SIGKILL)
            raise

    def log(self, name: str) -> str:
        file = self.home / "log" / name
        return file.read_text() if file.exists() else ""


def launch(home: Path, models_dir: Path, **variables: object) -> Server:
    """gunicorn with settings from the environment, not ready yet."""
    bind = f"127.0.0.1:{free_port()}"
    outer = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    env = outer | {"OCR_HOME": str(home), "OCR_BIND": bind, "OCR_ENGINE__MODELS_DIR": str(models_dir)}
    env["OCR_METRICS__BIND"] = f"127.0.0.1:{free_port()}"
    env["OCR_ENGINE__WARM_UP"] = "false"  # half of a start's work, and not what is tested here
    env |= {name: str(value) for name, value in variables.items()}
    return Server(subprocess.Popen(COMMAND, cwd=ROOT, env=env), home, bind, env)


StartServer = Callable[..., Server]


@contextmanager
def servers(models_dir: Path, folders: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start gunicorn with settings from the environment: start(WEB_CONCURRENCY=2). Stop all at the end."""
    started: list[Server] = []

    def start(**variables: object) -> Server:
        started.append(launch(folders.mktemp("home"), models_dir, **variables))
        started[-1].await_ready()
        return started[-1]

    yield start
    for server in started:  # at once, since each may take a second
        if server.master.poll() is None:
            server.master.send_signal(signal.SIGTERM)
    for server in started:
        server.end()


@pytest.fixture(scope="module")
def start_server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """For servers that one module uses: an idle server takes memory and some of a core."""
    with servers(models_dir, tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def start_shared_server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """For servers that several modules use."""
    with servers(models_dir, tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def server(start_shared_server: StartServer) -> Server:
    """One server for the tests that neither stop nor break it."""
    return start_shared_server()
