"""The operator's commands in a pipe whose reader leaves, and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import ROOT
from tests.clients.scripted import Scripted, Step
from tests.process.conftest import Server

FLASK = str(Path(sys.prefix, "bin", "flask"))
DIGITS = str(ROOT / "samples" / "digits.png")
HOSTILE = "a\x1b]0;title\x07\x9b31mb\u202ec"


@pytest.mark.parametrize("arguments", [("usage", "tail"), ("usage", "report", "--csv"), ("doctor",)])
def test_a_command_ends_by_sigpipe_when_its_reader_has_left(
    server: Server, arguments: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [FLASK, *arguments], cwd=ROOT, env=server.env, stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (-13, "")


def test_a_command_without_standard_output_does_its_work(server: Server) -> None:
    closed = f"exec {FLASK} usage report --csv >&-"
    done = subprocess.run(closed, shell=True, cwd=ROOT, env=server.env, capture_output=True, text=True)  # noqa: S602
    assert (done.returncode, done.stderr) == (0, "")


def test_a_strangers_text_is_escaped_on_a_terminal_alone(server: Server) -> None:
    server.flask("users", "add", "terminal", "--if-missing")
    answer: Step = 200, {}, json.dumps({"status_code": 6, "result": HOSTILE}).encode()
    with Scripted(answer) as service:
        words = [FLASK, "sign", DIGITS, "--user", "terminal", "--send", service.url]
        piped = subprocess.run(words, cwd=ROOT, env=server.env, capture_output=True, text=True).stdout
        terminal, inner = pty.openpty()
        subprocess.run(words, cwd=ROOT, env=server.env, stdout=inner, check=True)
    os.close(inner)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert piped == HOSTILE + "\n"
    assert shown == r"a\x1b]0;title\x07\x9b31mb\u202ec" + "\r\n"


def test_the_name_of_a_file_is_escaped(server: Server, tmp_path: Path) -> None:
    named = tmp_path / "a\x1b[31m\udc9b.png"
    named.symlink_to(DIGITS)
    shown = server.flask("read", DIGITS, str(named))
    assert r"a\x1b[31m\udc9b.png" in shown and "\x1b[31m" not in shown
