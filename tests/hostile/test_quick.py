"""The quick part of `make hostile`, against a real server in namespaces of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import ROOT
from tests.hostile import network


def test_where_it_cannot_run_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt install" in (network.not_permitted() or "")


@pytest.mark.alone
@pytest.mark.timeout(600)
def test_hostile_input_is_refused_and_nothing_forbidden_is_dialled() -> None:
    if why_not := network.not_permitted():
        pytest.fail(why_not) if os.environ.get("CI") else pytest.skip(why_not)
    command = [sys.executable, "-m", "tests.hostile", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "packets to forbidden addresses             0" in done.stdout
