"""`make up`, `make tls` and `make down`, in a checkout of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.gateway.conftest import await_true
from tests.gateway.stack import SUPERVISORCTL, Stack, as_nobody, make_checkout, open_socket
from tests.gateway.test_faults import FORGED, assert_told_the_truth, sibling
from tests.process.test_serving import png
from tests.servers import which
from tests.signing import Caller


@pytest.fixture(scope="module")
def checkout(models_dir: Path) -> Iterator[Stack]:
    """In a folder that everybody may enter, unlike those of pytest: there var/ alone protects the sockets."""
    for program in ("nginx", "supervisord", "mariadbd", "redis-server", "openssl", "curl"):
        which(program)
    with tempfile.TemporaryDirectory(prefix="stack-") as folder:
        Path(folder).chmod(0o755)
        yield make_checkout(Path(folder) / "ocr", models_dir)


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


AS_ROOT = os.getuid() == 0


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
    stack.run(*SUPERVISORCTL, "stop", "logrotate")
    partly = stack.attempt("scripts/up.sh")
    stack.run(*SUPERVISORCTL, "start", "logrotate")
    assert partly.returncode == 1 and "A part of the stack is not running" in partly.stderr


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
        assert "Reloaded Nginx" in stack.run("scripts/tls.sh")
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


def test_nothing_of_it_runs_as_root(stack: Stack) -> None:
    users = stack.users()
    assert len(users) == 1
    assert users == {(stack.root / "var").stat().st_uid}
    assert 0 not in users
    asked_for_root = stack.attempt("scripts/stack.sh", "id", "-u", STACK_USER="root")
    assert asked_for_root.returncode != 0 if AS_ROOT else asked_for_root.stdout.strip() != "0"


def test_nobody_else_opens_its_sockets(stack: Stack) -> None:
    """Redis and the instances would believe them, and MariaDB's is open to all that come to it."""
    found = stack.sockets()
    names = {str(path.relative_to(stack.root / "var")) for path in found}
    assert names == {"mariadb.sock", "redis.sock", "supervisor.sock", "web1/ocr.sock", "web2/ocr.sock"}
    for path in found:
        assert path.parent.stat().st_mode & 0o077 == 0, path
        open_socket(path)
        if AS_ROOT:  # others cannot become nobody
            assert "PermissionError" in as_nobody(lambda at=path: open_socket(at)), path  # type: ignore[misc]


@pytest.mark.skipif(not AS_ROOT, reason="only root can become nobody")
def test_the_database_has_no_account_without_a_password(stack: Stack) -> None:
    assert stack.refuses_strangers()


def test_doctor_finds_nothing_wrong_and_then_each_fault(stack: Stack) -> None:
    healthy = stack.flask("doctor")
    assert "WRONG" not in healthy
    mover, var = stack.supervised()["mover"], stack.root / "var"
    os.kill(mover, signal.SIGSTOP)
    try:
        time.sleep(1.1)
        command = (
            "chmod 755 var && OCR_STATE__CLAIM_AFTER_S=1 OCR_STATE__MIN_FREE_DISK_MB=999999999 flask doctor"
        )
        done = stack.attempt("scripts/stack.sh", "sh", "-c", command)
    finally:
        os.kill(mover, signal.SIGCONT)
        var.chmod(0o700)
    assert done.returncode == 1
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    open_to_all = [
        f"{var}/{name}.sock is open to its owner and everybody" for name in ("mariadb", "redis", "supervisor")
    ]
    faults = ["no mover runs", "OCR_STATE__MIN_FREE_DISK_MB", *open_to_all]
    assert all(any(fault in line for line in wrong) for fault in faults)
    assert all(any(fault in line for fault in faults) for line in wrong)


def test_nginxs_log_is_json(stack: Stack, caller: Caller) -> None:
    given = post(stack, caller, 5).headers["X-Request-ID"]
    log = stack.root / "log" / "nginx-access.log"
    await_true(lambda: f'{given}"' in log.read_text(), 10)
    assert {"http", "seconds"} <= json.loads(log.read_text().splitlines()[-1]).keys()


@pytest.mark.skipif(not AS_ROOT, reason="only root can hand a stack to another user")
def test_a_stack_of_an_older_release_is_mended_in_a_folder_that_its_user_cannot_enter(
    stack: Stack, caller: Caller
) -> None:
    """All of it belonged to root, whose account in the database had no password."""
    stack.administer(
        "CREATE USER ''@localhost",
        "CREATE USER root@127.0.0.1 IDENTIFIED VIA mysql_native_password USING ''",
        "ALTER USER root@localhost IDENTIFIED VIA mysql_native_password USING ''",
    )
    assert not stack.refuses_strangers()
    stack.run("scripts/down.sh")
    stack.run("chown", "-R", "root:root", "var", "log")
    (stack.root / "var" / "mariadb-init.sql").unlink()
    (stack.root / "var").chmod(0o755)
    (stack.root / "deploy" / ".env").write_text("DB_PASSWORD=secret")
    stack.run("chmod", "-R", "go=", "app", "config", "deploy", "scripts", "gunicorn.py")  # as by umask 077
    stack.root.parent.chmod(0o700)
    for name in ("mariadb", "redis"):  # as a power cut leaves them
        with socket.socket(socket.AF_UNIX) as nobody_listens:
            nobody_listens.bind(str(stack.root / "var" / f"{name}.sock"))

    stack.run("scripts/up.sh")
    assert post(stack, caller, 6).json()["result"] == png(6)[1]
    assert 0 not in stack.users()
    assert stack.refuses_strangers()
    assert (stack.root / "var").stat().st_mode & 0o077 == 0
    assert stack.root.parent.stat().st_mode & 0o077 == 0
    assert (stack.root / "deploy" / ".env").stat().st_mode & 0o077 == 0
    owners = {path.lstat().st_uid for path in (stack.root / "var").rglob("*")}
    assert owners == stack.users()
