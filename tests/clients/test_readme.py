"""The examples of clients/README.md, run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import ROOT
from tests.clients.conftest import CLIENTS, LINES, env, tool
from tests.process.conftest import Server
from tests.signing import Caller

EXAMPLES = re.findall(r"```(sh|python|js)\n(.*?)```", (CLIENTS / "README.md").read_text(), re.DOTALL)
TOOLS = {"node ": "node", "java ": "java", "go ": "go"}
TITLES = [f"{language}: {text.splitlines()[0]}" for language, text in EXAMPLES]


@pytest.mark.parametrize(("language", "text"), EXAMPLES, ids=TITLES)
def test_an_example(
    language: str,
    text: str,
    installed_client: Path,
    service: Server,
    caller: Caller,
    tmp_path: Path,
) -> None:
    for begins, name in TOOLS.items():
        if text.startswith(begins):
            tool(name)
    for shared in ("samples", "clients"):  # an example may write beside them
        (tmp_path / shared).symlink_to(ROOT / shared)
    run = {"sh": ["sh", "-euc", text], "python": [sys.executable, "-c", text]}
    command = run.get(language) or [tool("node"), "--input-type=module", "-e", text]
    variables = env(caller, f"{service.url}/ocr") | {
        "PATH": f"{installed_client / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(installed_client),
        "GOCACHE": str(tmp_path / "go"),
    }
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout or (tmp_path / "lines.csv").stat().st_size > 1000
    if "receipt.png" in text:
        assert LINES[-1] in done.stdout
