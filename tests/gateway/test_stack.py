"""`make up`, `make tls` and `make down`, in a checkout of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from config.settings import ROOT
from tests.gateway.conftest import await_true
from tests.gateway.test_faults import FORGED, assert_told_the_truth, sibling
from tests.process.conftest import OURS, free_port
from tests.process.test_serving import png
from tests.servers import which
from tests.signing import Caller


@dataclass(frozen=True)
class Stack:
    root: Path
    port: int
    tls_port: int
    env: dict[str, str]

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def flask(self, *arguments: str) -> str:
        return self.run(".venv/bin/flask", "--env-file", "var/stack.env", *arguments)

    def supervised(self) -> dict[str, int]:
        """Process ids by program, of those that run."""
        status = subprocess.run(["supervisorctl", "-c", "deploy/supervisord.conf", "status"],
                                cwd=self.root, capture_output=True, text=True)  # fmt: skip
        return {name: int(pid) for name, pid in re.findall(r"(\w+) +RUNNING +pid (\d+)", status.stdout)}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Stack:
    """The files of this checkout with other ports, and its virtual environment and models."""
    for program in ("nginx", "supervisord", "mariadbd", "redis-server", "openssl", "curl"):
        which(program)
    root = tmp_path_factory.mktemp("stack")
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


@pytest.fixture(scope="module")
def stack(checkout: Stack) -> Iterator[Stack]:
    try:
        said = checkout.run("scripts/up.sh")
        assert f"http://127.0.0.1:{checkout.port}" in said
        yield checkout
    finally:
        pids = checkout.supervised()
        checkout.run("scripts/down.sh")
        assert not [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()]


@pytest.fixture(scope="module")
def caller(stack: Stack) -> Caller:
    return Caller("alice", stack.flask("users", "add", "alice").split()[-1])


def post(stack: Stack, caller: Caller, n: int) -> requests.Response:
    body = caller.body(picture=png(n)[0])
    return requests.post(f"http://127.0.0.1:{stack.port}/ocr", json=body, timeout=60)


def test_all_of_it_runs_and_reads_a_picture(stack: Stack, caller: Caller) -> None:
    assert {"mariadb", "redis", "mover", "web1", "web2", "nginx"} <= stack.supervised().keys()
    assert post(stack, caller, 1).json()["result"] == png(1)[1]
    await_true(lambda: "alice" in stack.flask("usage", "tail"))  # which asks MariaDB
    for n in (1, 2):
        metrics = requests.get(f"http://127.0.0.1:{stack.env[f'METRICS_PORT_{n}']}/metrics", timeout=10)
        assert "ocr_workers 1.0" in metrics.text


def test_a_second_make_up_says_that_it_runs(stack: Stack) -> None:
    before = stack.supervised()
    assert "already running" in stack.run("scripts/up.sh")
    assert stack.supervised() == before


def test_what_dies_is_started_again_and_nobody_notices(stack: Stack, caller: Caller) -> None:
    for name in ("web1", "web2"):
        killed = stack.supervised()[name]
        os.kill(killed, signal.SIGKILL)
        assert post(stack, caller, 2).status_code == 200
        await_true(lambda: stack.supervised().get(name, killed) != killed)  # noqa: B023
        await_true(lambda: (stack.root / "var" / name / "ocr.sock").exists())  # noqa: B023
    assert post(stack, caller, 3).status_code == 200


def test_https_and_http_2_by_make_tls(stack: Stack, caller: Caller) -> None:
    certificate = stack.root / "var" / "tls" / "cert.pem"
    url = f"https://localhost:{stack.tls_port}"
    with sibling("slt", 8082, stack.root / "deploy"):
        assert "Nginx was reloaded" in stack.run("scripts/tls.sh")
        await_true(lambda: answers(url, certificate), 10)
        told = requests.get(f"{url}/slt", headers=FORGED, verify=str(certificate), timeout=10)
    assert_told_the_truth(told, "/slt", "https")
    body = caller.body(picture=png(4)[0])
    answer = requests.post(f"{url}/ocr", json=body, verify=str(certificate), timeout=60)
    assert answer.json()["result"] == png(4)[1]
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    spoken = stack.run("curl", "-sS", "--http2", "--cacert", str(certificate), "-o", "/dev/null",
                       "-w", "%{http_version}", f"{url}/healthz")  # fmt: skip
    assert spoken == "2"
    for old in ("--tls-max", "1.1"), ("--tls-max", "1.0"):
        refused = subprocess.run(["curl", "-sS", *old, "--cacert", str(certificate), f"{url}/healthz"],
                                 capture_output=True)  # fmt: skip
        assert refused.returncode != 0
    assert (stack.root / "var" / "tls" / "key.pem").stat().st_mode & 0o077 == 0


def answers(url: str, certificate: Path) -> bool:
    try:
        return requests.get(f"{url}/healthz", verify=str(certificate), timeout=5).ok
    except requests.ConnectionError:
        return False


def test_what_is_missing_is_named_with_the_command_that_installs_it(checkout: Stack, tmp_path: Path) -> None:
    for program in ("sh", "sed", "dirname", "openssl"):
        (tmp_path / program).symlink_to(which(program))
    script = (checkout.root / "scripts" / "up.sh").read_text().replace("PATH=$PATH:/usr/sbin:/sbin", "")
    (checkout.root / "scripts" / "bare.sh").write_text(script)
    done = subprocess.run([which("sh"), "scripts/bare.sh"], cwd=checkout.root, capture_output=True, text=True,
                          env={"PATH": str(tmp_path)})  # fmt: skip
    assert done.returncode == 1
    assert "apt-get install -y supervisor nginx-light mariadb-server redis-server" in done.stderr


def test_the_instances_share_what_they_know_of_crashes_and_wrong_signatures(stack: Stack) -> None:
    for name in ("crashes", "failures"):
        assert [path.parent.name for path in (stack.root / "var").rglob(name)] == ["var"], name
        assert (stack.root / "var" / name).exists()


def test_secrets_are_for_the_owner_alone(stack: Stack) -> None:
    for name in ("stack.env", "mariadb.sql", "secret.key"):
        assert (stack.root / "var" / name).stat().st_mode & 0o077 == 0, name


def test_nobody_but_nginx_comes_to_the_instances(stack: Stack) -> None:
    """They would be believed about addresses and request ids."""
    for name in ("web1", "web2"):
        assert (stack.root / "var" / name).stat().st_mode & 0o027 == 0, name


def test_nginxs_log_is_json(stack: Stack, caller: Caller) -> None:
    given = post(stack, caller, 5).headers["X-Request-ID"]
    log = stack.root / "log" / "nginx-access.log"
    await_true(lambda: f'{given}"' in log.read_text(), 10)
    assert {"http", "seconds"} <= json.loads(log.read_text().splitlines()[-1]).keys()
