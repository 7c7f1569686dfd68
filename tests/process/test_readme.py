"""The README's examples, run as they are written."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from config.settings import ROOT
from tests.process.conftest import Server
from tests.servers import which
from tests.signing import Caller

README = (ROOT / "README.md").read_text()
LINES = json.loads((ROOT / "samples" / "labels.json").read_text())["receipt.png"]


def example(language: str) -> str:
    [block] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(block)


@pytest.fixture(scope="module")
def reader(server: Server) -> Caller:
    return server.caller("reader")


def run(command: list[str], server: Server, caller: Caller) -> str:
    variables = {"OCR_USER": caller.username, "OCR_SECRET": caller.secret, "OCR_URL": f"{server.url}/ocr"}
    done = subprocess.run(command, cwd=ROOT, env=server.env | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_shell_example(server: Server, reader: Caller) -> None:
    for program in ("curl", "openssl"):
        which(program)
    answer = json.loads(run(["sh", "-euc", example("sh")], server, reader))
    assert answer["status_code"] == 6
    assert answer["result"].splitlines() == LINES


def test_the_python_example(server: Server, reader: Caller) -> None:
    assert run([sys.executable, "-c", example("python")], server, reader).splitlines() == LINES
