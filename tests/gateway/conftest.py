"""The whole gateway: the Nginx configuration as it is, before two real gunicorn instances on Unix sockets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from config.settings import ROOT
from tests.decode_cost import children
from tests.process.conftest import COMMAND, OURS, STARTS_WITHIN_S, STOPS_WITHIN_S, add_user
from tests.servers import free_port, which
from tests.signing import Caller


def await_true(condition: Callable[[], object], within_s: float = 180, why: str = "") -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, f"it did not come true in {within_s} s {why}"
        time.sleep(0.05)


@dataclass
class Instance:
    """One gunicorn behind the gateway. `home` holds its socket, its logs and its counters."""

    home: Path
    variables: dict[str, str]
    metrics_port: int = field(default_factory=free_port)
    master: subprocess.Popen[bytes] | None = None

    @classmethod
    def home_in(cls, prefix: Path, n: int) -> Path:
        return prefix / "var" / f"web{n + 1}"

    @property
    def socket(self) -> Path:
        return self.home / "ocr.sock"

    @property
    def env(self) -> dict[str, str]:
        outer = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        own = {"OCR_HOME": str(self.home), "OCR_BIND": f"unix:{self.home}/ocr.sock"}
        own["OCR_METRICS__BIND"] = f"127.0.0.1:{self.metrics_port}"
        return outer | own | self.variables

    def start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.master = subprocess.Popen(COMMAND, cwd=ROOT, env=self.env)

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.master is not None
        return self.master

    def workers(self) -> list[int]:
        return children(self.running.pid)

    def signal(self, number: signal.Signals) -> None:
        self.running.send_signal(number)

    def stop(self) -> None:
        if self.running.poll() is None:
            self.signal(signal.SIGTERM)
        self.running.wait(STOPS_WITHIN_S)

    def started(self) -> bool:
        """Whether it is ready, as it says itself, in the protocol that it speaks."""
        assert self.running.poll() is None, self.log("error.log")
        request = uwsgi_get if self.env.get("OCR_PROTOCOL") == "uwsgi" else http_get
        return ask_over_socket(self.socket, request("/readyz")).startswith(b"HTTP/1.1 200")

    def log(self, name: str) -> str:
        file = self.home / "log" / name
        return file.read_text() if file.exists() else ""


def http_get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


def uwsgi_get(path: str) -> bytes:
    """The same in the uWSGI protocol: a head of four bytes, then names and values with their lengths."""
    variables = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_CONNECTION": "close", "QUERY_STRING": "",
                 "SERVER_NAME": "x", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1"}  # fmt: skip
    words = [word.encode() for pair in variables.items() for word in pair]
    block = b"".join(struct.pack("<H", len(word)) + word for word in words)
    return struct.pack("<BHB", 0, len(block), 0) + block


def ask_over_socket(path: Path, request: bytes) -> bytes:
    """The answer of one instance itself; empty where nobody listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(STARTS_WITHIN_S)
        try:
            connection.connect(str(path))
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return b""


@dataclass
class Gateway:
    """A prefix folder as a checkout is one, its Nginx, and the instances behind it."""

    prefix: Path
    instances: list[Instance]
    port: int = field(default_factory=free_port)
    nginx: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def configure(self, *changes: tuple[str, str]) -> None:
        """The repository's configuration, with nothing but the port changed, and what a test asks for."""
        shutil.copytree(ROOT / "deploy", self.prefix / "deploy", dirs_exist_ok=True)
        for name in ("log", "var"):
            (self.prefix / name).mkdir(exist_ok=True)
        if not (self.prefix / "app").exists():
            (self.prefix / "app").symlink_to(ROOT / "app")
        texts = {conf: conf.read_text() for conf in (self.prefix / "deploy").rglob("*.conf")}
        for old, new in (("listen 8080 ", f"listen 127.0.0.1:{self.port} "), *changes):
            assert any(old in text for text in texts.values()), old
            texts = {conf: text.replace(old, new) for conf, text in texts.items()}
        for conf, text in texts.items():
            conf.write_text(text)

    def command(self, *arguments: str) -> list[str]:
        # Its workers would be `nobody`, who may not enter pytest's folders.
        user = "user root;" if os.getuid() == 0 else ""
        return [which("nginx"), "-p", ".", "-c", "deploy/nginx.conf", "-g", f"daemon off; {user}", *arguments]

    def check(self) -> str:
        """What `nginx -t` says."""
        done = subprocess.run(self.command("-t"), cwd=self.prefix, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def start(self) -> None:
        self.nginx = subprocess.Popen(self.command(), cwd=self.prefix)
        for instance in self.instances:
            instance.start()
        self.await_ready()

    def await_ready(self) -> None:
        for instance in self.instances:
            await_true(instance.started, STARTS_WITHIN_S)
        await_true(self._answers, 10)

    def _answers(self) -> bool:
        assert self.nginx is not None and self.nginx.poll() is None, self.log("nginx-error.log")
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except requests.ConnectionError:
            return False

    def reload(self) -> None:
        """As an operator does it; back when the old workers have left."""
        assert self.nginx is not None
        before = set(children(self.nginx.pid))
        subprocess.run(self.command("-s", "reload"), cwd=self.prefix, check=True)
        await_true(lambda: not before & set(children(self.nginx.pid)), 90)  # type: ignore[union-attr]

    def stop(self) -> None:
        """By their ids, gracefully; what hangs is killed."""
        everything = [instance.master for instance in self.instances] + [self.nginx]
        running = [process for process in everything if process is not None]
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process in running:
            try:
                process.wait(STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                for pid in [*children(process.pid), process.pid]:
                    os.kill(pid, signal.SIGKILL)
                raise

    def post(
        self, body: dict[str, Any], session: requests.Session | None = None, **options: Any
    ) -> requests.Response:
        return (session or requests).post(f"{self.url}/ocr", json=body, timeout=90, **options)

    def flask(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(Path(sys.prefix, "bin", "flask")), *arguments],
            cwd=ROOT,
            env=self.instances[0].env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def caller(self, name: str) -> Caller:
        return add_user(self.instances[0].env, name)

    def log(self, name: str) -> str:
        file = self.prefix / "log" / name
        return file.read_text() if file.exists() else ""

    def access(self, request_id: str) -> dict[str, Any]:
        """Nginx's line on this request, which it writes after the answer is sent."""

        def lines() -> list[dict[str, Any]]:
            written = self.log("nginx-access.log").splitlines(keepends=True)
            found = [line for line in written if request_id in line and line.endswith("\n")]
            return [line for line in map(json.loads, found) if line["request_id"] == request_id]

        await_true(lines, 10)
        [line] = lines()
        return line

    def records(self, username: str, condition: str = "true") -> int:
        """How many usage records this user has, in the database that the instances share."""
        query = f"SELECT count(*) FROM usage_records WHERE username = ? AND {condition}"  # noqa: S608
        with closing(sqlite3.connect(self.prefix / "var" / "ocr.sqlite")) as database:
            [[count]] = database.execute(query, [username])
        return int(count)


MakeGateway = Callable[..., Gateway]


@contextmanager
def gateways(models_dir: Path, folders: pytest.TempPathFactory) -> Iterator[MakeGateway]:
    """make_gateway(("old", "new"), OCR_ENGINE__THREADS=2): two instances with one core each, one database,
    and their Nginx, with what is given replaced in nginx.conf."""
    made: list[Gateway] = []

    def make(
        *changes: tuple[str, str], instances: int = 2, kind: type[Instance] = Instance, **variables: object
    ) -> Gateway:
        prefix = folders.mktemp("gw")
        common = {
            "OCR_STATE__DATABASE_URL": f"sqlite:///{prefix}/var/ocr.sqlite",
            "OCR_STATE__KEY_FILE": f"{prefix}/var/secret.key",
            "OCR_ENGINE__MODELS_DIR": str(models_dir),
            "OCR_ENGINE__CORES": "1",
            "OCR_ENGINE__THREADS": "1",
            "OCR_ENGINE__WARM_UP": "false",
            "OCR_AUTH__RATE_PER_MINUTE": "100000",
            "OCR_AUTH__RATE_BURST": "10000",
        } | {name: str(value) for name, value in variables.items()}
        gateway = Gateway(prefix, [kind(kind.home_in(prefix, n), common) for n in range(instances)])
        made.append(gateway)
        gateway.configure(*changes)
        if "OCR_STATE__DATABASE_URL" in variables:
            gateway.flask("db", "init")
        gateway.start()
        return gateway

    yield make
    for gateway in made:
        gateway.stop()


@pytest.fixture(scope="module")
def make_gateway(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeGateway]:
    """For gateways that one module uses: an idle one takes memory and some of a core."""
    with gateways(models_dir, tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="session")
def gateway(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for the tests that leave it as they found it."""
    with gateways(models_dir, tmp_path_factory) as make:
        yield make()
