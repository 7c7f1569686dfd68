"""A checkout in which `make up` runs, and what others on its machine can do to it."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pymysql

from config.settings import ROOT
from tests.decode_cost import children
from tests.process.conftest import OURS
from tests.servers import free_port

NOBODY = 65534
SUPERVISORCTL = ("supervisorctl", "-c", "deploy/supervisord.conf")


@dataclass(frozen=True)
class Stack:
    root: Path
    port: int
    tls_port: int
    env: dict[str, str]

    def run(self, *command: str) -> str:
        done = self.attempt(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def attempt(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = self.env | variables
        return subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True, timeout=200)

    def flask(self, *arguments: str) -> str:
        return self.run("scripts/stack.sh", "flask", *arguments)

    def supervised(self) -> dict[str, int]:
        """Process ids by program, of those that run."""
        status = self.attempt(*SUPERVISORCTL, "status").stdout
        return {name: int(pid) for name, pid in re.findall(r"(\w+) +RUNNING +pid (\d+)", status)}

    def users(self) -> set[int]:
        """The real, effective and saved user ids of all processes."""
        return {uid for pid in _family(int(self.run(*SUPERVISORCTL, "pid"))) for uid in _uids(pid)}

    def sockets(self) -> list[Path]:
        return sorted(path for path in (self.root / "var").rglob("*") if path.is_socket())

    def administer(self, *statements: str) -> None:
        """As the administrator of the database, who is known by the socket."""
        connection = pymysql.connect(
            unix_socket=str(self.root / "var" / "mariadb.sock"), user=administrator()
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def refuses_strangers(self) -> bool:
        """Whether MariaDB refuses who has no password, even where its socket can be reached."""
        handle = os.open(self.root / "var" / "mariadb.sock", os.O_PATH)
        try:
            socket = f"/proc/self/fd/{handle}"
            found = [
                as_nobody(partial(pymysql.connect, unix_socket=socket, user=name))
                for name in ("root", "", "mysql", "ocr", administrator())
            ]
        finally:
            os.close(handle)
        return all("Access denied" in error for error in found)


def make_checkout(root: Path, models_dir: Path) -> Stack:
    """The files of this checkout with other ports, and its virtual environment and models."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, text=True, check=True)  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    (root / ".venv").symlink_to(Path(os.environ.get("VIRTUAL_ENV", ROOT / ".venv")).resolve())
    (root / "models").symlink_to(models_dir)
    port, tls_port = free_port(), free_port()
    for file, old, new in (
        ("deploy/nginx.conf", "listen 8080 ", f"listen 127.0.0.1:{port} "),
        ("deploy/nginx/tls.conf", "listen 8443 ", f"listen 127.0.0.1:{tls_port} "),
    ):
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new))
    outer = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    ports = {f"METRICS_PORT_{n}": str(free_port()) for n in (1, 2)}
    return Stack(root, port, tls_port, outer | ports)


def administrator() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def as_nobody(action: Callable[[], object]) -> str:
    """The error of an action in a process of nobody:nogroup; empty where it succeeds."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        said = ""
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            action()
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


def open_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in children(pid):
        yield from _family(child)


def _uids(pid: int) -> list[int]:
    [line] = re.findall(r"^Uid:(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return [int(uid) for uid in line.split()]
