"""The real server: gunicorn as an operator starts it, on a free loopback port, with a home of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from config.settings import ROOT
from tests.decode_cost import children
from tests.servers import free_port
from tests.signing import Caller

STARTS_WITHIN_S = 60
STOPS_WITHIN_S = 60
OURS = ("OCR_", "PYTHONPATH", "PROMETHEUS_", "WEB_")
QUICK_START = {"OCR_ENGINE__RUNTIME": "onnxruntime", "OCR_ENGINE__CORES": "1", "OCR_ENGINE__THREADS": "1"}
"""For tests in which workers start often: ONNX Runtime loads the models in a third of OpenVINO's time."""
COMMAND = [str(Path(sys.prefix, "bin", "gunicorn")), "--config", "gunicorn.py", "run_ocr_flask:app"]


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

    def caller(self, name: str = "alice") -> Caller:
        secret = self.flask("users", "add", name).split()[-1]
        return Caller(name, secret)

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
    env |= {name: str(value) for name, value in variables.items()}
    return Server(subprocess.Popen(COMMAND, cwd=ROOT, env=env), home, bind, env)


@pytest.fixture(scope="session")
def start_server(
    models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Start gunicorn with settings from the environment: start_server(WEB_CONCURRENCY=2)."""
    started: list[Server] = []

    def start(**variables: object) -> Server:
        started.append(launch(tmp_path_factory.mktemp("home"), models_dir, **variables))
        started[-1].await_ready()
        return started[-1]

    yield start
    for server in started:
        server.end()


@pytest.fixture(scope="session")
def server(start_server: Callable[..., Server]) -> Server:
    """One server for the tests that neither stop nor break it."""
    return start_server()
