"""Every client against the running service, as a user calls it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.conftest import LINES, RECEIPT, Command, tool
from tests.process.conftest import Server
from tests.signing import Caller

CROWD = 6
TRIES = 10

NewCaller = Callable[..., Caller]


@pytest.fixture
def url(service: Server) -> str:
    return f"{service.url}/ocr"


def test_it_reads_a_file(client: Command, url: str, caller: Caller) -> None:
    assert client.text(client.run(str(RECEIPT), url=url, caller=caller)) == LINES


def test_it_reads_a_url(client: Command, url: str, caller: Caller, picture_url: str) -> None:
    assert client.text(client.run(picture_url, url=url, caller=caller)) == LINES


def test_the_name_of_a_file_does_not_matter(
    client: Command, url: str, caller: Caller, tmp_path: Path
) -> None:
    odd = tmp_path / "a \"b\";c=$(d),@e%41 '收据'.png"
    shutil.copy(RECEIPT, odd)
    assert client.text(client.run(str(odd), url=url, caller=caller)) == LINES


def test_a_wrong_secret_is_told(client: Command, url: str, caller: Caller) -> None:
    done = client.run(str(RECEIPT), url=url, caller=Caller(caller.username, "a wrong secret"))
    assert done.returncode in (1, 3)
    assert "sign_wrong" in done.stdout + done.stderr


def test_a_used_up_quota_is_told_at_once(client: Command, url: str, new_caller: NewCaller) -> None:
    caller = new_caller(quota=1)
    assert client.run(str(RECEIPT), url=url, caller=caller).returncode == 0
    done = client.run(str(RECEIPT), url=url, caller=caller)
    assert done.returncode in (1, 3)
    assert "quota_exhausted" in done.stdout + done.stderr


def test_a_busy_service_is_asked_again(client: Command, busy_service: Server) -> None:
    """A crowd keeps the engine busy until the client was sent away once; then it must get its text."""
    caller, crowd = (busy_service.caller(f"{who}-{secrets.token_hex(4)}") for who in ("patient", "crowd"))
    for _ in range(TRIES):
        with crowded(busy_service, crowd, until=lambda: sent_away(busy_service, caller)):
            done = client.run(str(RECEIPT), url=f"{busy_service.url}/ocr", caller=caller)
        assert client.text(done) == LINES
        if sent_away(busy_service, caller):
            return
    pytest.fail("the service was never busy")


def test_the_shells_secret_is_in_no_list_of_processes(
    command: Callable[[str], Command],
    url: str,
    caller: Caller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every program that the script runs tells its arguments first."""
    said = tmp_path / "said"
    for name in ("curl", "openssl", "od", "awk", "sort", "paste", "tr", "cut", "sed", "date", "mktemp"):
        wrapper = tmp_path / name
        wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0" "$@" >>{said}\nexec {tool(name)} "$@"\n')
        wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    client = command("shell")
    assert client.text(client.run(str(RECEIPT), url=url, caller=caller)) == LINES
    arguments = said.read_text()
    assert str(tmp_path / "curl") in arguments and "-sha256" in arguments
    assert caller.secret not in arguments
    assert caller.secret.encode().hex() not in arguments


@contextmanager
def crowded(service: Server, crowd: Caller, *, until: Callable[[], bool]) -> Iterator[None]:
    """More readers than the engine has threads, until the condition holds or the block ends."""
    done = threading.Event()
    picture = RECEIPT.read_bytes()

    def keep_reading() -> None:
        while not done.is_set():
            service.post(crowd.body(picture=picture))

    def watch() -> None:
        while not done.wait(0.05):
            if until():
                done.set()

    threads = [threading.Thread(target=keep_reading) for _ in range(CROWD)]
    threads.append(threading.Thread(target=watch))
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def sent_away(service: Server, caller: Caller) -> bool:
    whole = service.log("ocr.log").rpartition("\n")[0]  # the last line may be under way
    lines = (json.loads(line) for line in whole.splitlines())
    return any(line.get("username") == caller.username and line.get("status_code") == 17 for line in lines)
