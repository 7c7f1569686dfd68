"""Real servers for the tests: MariaDB and Redis, each on a free loopback port with a folder of its own."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
import pytest
import redis

STARTS_WITHIN_S = 120
STOPS_WITHIN_S = 60


PORTS = range(12_000, 32_000)
"""Below the kernel's ephemeral ports: no outgoing connection takes a port that a server is about to bind."""


def _ports() -> Iterator[int]:
    """The ports of this process: each of pytest-xdist's workers, 16 at most, has a share of its own."""
    share = len(PORTS) // 16
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    own = PORTS[worker * share :][:share]
    first = random.randrange(share)  # noqa: S311
    return itertools.cycle([*own[first:], *own[:first]])


_next_port = _ports()


def free_port() -> int:
    """A TCP port on which nothing listens, another one at each call."""
    for port in _next_port:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")


class ServerProcess:
    """A server that can be stopped, killed, paused and started again with what it had stored."""

    def __init__(self, command: list[str], log: Path, answers: Callable[[], bool]) -> None:
        self._command = command
        self._log = log
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        give_up = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < give_up, self._log.read_text()
            time.sleep(0.02)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Also where it is paused or gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(by)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(STOPS_WITHIN_S)
        self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It keeps its connections, and takes more, but says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()


class MySqlServer(ServerProcess):
    """MariaDB with the one user that docs/state.md makes, whose password needs encoding in a URL."""

    USER, PASSWORD = "ocr", "p@ss/w:rd%"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._socket = folder / "mysql.sock"
        data, as_user = folder / "data", ["--user=root"] if os.geteuid() == 0 else []
        subprocess.run(
            [which("mariadb-install-db"), "--no-defaults", *as_user, f"--datadir={data}", "--skip-test-db",
             "--auth-root-authentication-method=normal", "--innodb-log-file-size=8M"],
            check=True, capture_output=True,
        )  # fmt: skip
        command = [
            which("mariadbd"), "--no-defaults", *as_user, f"--datadir={data}", f"--socket={self._socket}",
            f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve",
            f"--pid-file={folder / 'pid'}", "--skip-log-bin", "--innodb-buffer-pool-size=64M",
            # As a careless operator may have them: nothing may depend on the server's own.
            "--sql-mode=", "--character-set-server=latin1", "--transaction-isolation=REPEATABLE-READ",
            "--default-time-zone=+05:30",
        ]  # fmt: skip
        super().__init__(command, folder / "mysql.log", self._is_there)

    def start(self) -> None:
        super().start()
        self.execute(
            "CREATE DATABASE IF NOT EXISTS ocr CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "CREATE USER IF NOT EXISTS 'ocr'@'127.0.0.1' IDENTIFIED BY 'p@ss/w:rd%'",
            "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, REFERENCES ON ocr.*"
            " TO 'ocr'@'127.0.0.1'",
        )

    @property
    def url(self) -> str:
        password = quote(self.PASSWORD, safe="")
        return f"mysql+pymysql://{self.USER}:{password}@127.0.0.1:{self.port}/ocr"

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """As root; the rows of the last one."""
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()
            return list(cursor.fetchall())

    def drop_tables(self) -> None:
        self.execute("DROP DATABASE ocr", "CREATE DATABASE ocr CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")

    def empty_tables(self) -> None:
        """Much faster than to make them anew. What Alembic keeps about the schema stays."""
        tables = self.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'ocr' AND table_name <> 'alembic_version'"
        )
        self.execute("SET foreign_key_checks = 0", *(f"TRUNCATE TABLE ocr.{name}" for (name,) in tables))

    def _connect(self) -> pymysql.Connection[Any]:
        return pymysql.connect(unix_socket=str(self._socket), user="root", database=None)

    def _is_there(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._socket)) == 0


class RedisServer(ServerProcess):
    """Redis with an append-only file and without eviction. options: more for its command line."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._folder = folder
        command = [
            which("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder),
            "--appendonly", "yes", "--maxmemory-policy", "noeviction", "--save", "", *options,
        ]  # fmt: skip
        super().__init__(command, folder / "redis.log", self._is_there)

    def drop_file(self) -> None:
        """While it is stopped."""
        for file in self._folder.glob("appendonlydir/*"):
            file.unlink()

    @contextmanager
    def refusing_writes(self) -> Iterator[None]:
        """It has no memory left."""
        with closing(redis.Redis(port=self.port)) as client:
            client.config_set("maxmemory", 1)
            try:
                yield
            finally:
                client.config_set("maxmemory", 0)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _is_there(self) -> bool:
        try:
            with closing(redis.Redis(port=self.port)) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def redis_before_mariadb(folder: Path) -> Iterator[tuple[MySqlServer, dict[str, str]]]:
    """Both running; the settings that name them, patient since others use this machine too."""
    mysql, redis = MySqlServer(folder), RedisServer(folder)
    try:
        mysql.start()
        redis.start()
        yield (
            mysql,
            {
                "OCR_STATE__DATABASE_URL": mysql.url,
                "OCR_STATE__MYSQL_TIMEOUT_S": "30",
                "OCR_STATE__REDIS_URL": redis.url,
                "OCR_STATE__REDIS_TIMEOUT_MS": "5000",
            },
        )
    finally:
        mysql.stop()
        redis.stop()


def which(program: str) -> str:
    """Its path. Where it is not installed, as on a machine that only runs the service, the test is skipped.

    In CI that would hide a fault, and the test fails.
    """
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        needs = "mariadb-server redis-server nginx-light supervisor logrotate systemd prometheus curl openssl"
        missing = f"{program} is not installed: apt-get install {needs}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
