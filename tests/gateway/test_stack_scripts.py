"""The scripts of `make up`, without a stack: what root's commands do, and what others are told."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from config.settings import ROOT

AS_ROOT = os.getuid() == 0


@pytest.mark.skipif(not AS_ROOT, reason="only root can hand a stack to another user")
def test_its_user_gets_nothing_of_roots(tmp_path: Path) -> None:
    """Whoever took over the service can put links into var/ and wait for root's next command."""
    roots = tmp_path / "roots"
    roots.mkdir()
    for name in ("symbolic", "hard", "folder/file"):
        (roots / name).parent.mkdir(exist_ok=True)
        (roots / name).touch(mode=0o600)
    checkout = tmp_path / "a checkout"
    (checkout / "scripts").mkdir(parents=True)
    shutil.copy2(ROOT / "scripts" / "stack.sh", checkout / "scripts")
    for part in ("var/web1", "log"):
        (checkout / part).mkdir(parents=True)
    (checkout / "var" / "web1" / "old").touch()
    (checkout / "var" / "web1" / "link").symlink_to(roots / "symbolic")
    (checkout / "var" / "hard").hardlink_to(roots / "hard")
    (checkout / "log" / "folder").symlink_to(roots / "folder")
    (checkout / ".env").touch(mode=0o600)
    command = ["scripts/stack.sh", "stat", "--format=%U", "var/web1/old", "log"]

    def run() -> subprocess.CompletedProcess[str]:
        env = os.environ | {"STACK_USER": "nobody"}
        return subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True)

    assert "cannot read .env" in run().stderr  # the group of nobody is that of many
    assert (checkout / ".env").stat().st_mode & 0o077 == 0
    (checkout / ".env").unlink()
    done = run()
    assert done.stdout.split() == ["nobody", "nobody"], done.stderr
    assert {path.stat().st_uid for path in roots.rglob("*")} == {0}


@pytest.mark.skipif(not AS_ROOT, reason="only root can become nobody")
def test_nobody_else_is_told_that_it_does_not_run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder)
        checkout.chmod(0o755)
        (checkout / "var").mkdir(mode=0o700)
        (checkout / "scripts").mkdir()
        shutil.copy2(ROOT / "scripts" / "down.sh", checkout / "scripts")
        command = ["setpriv", "--reuid=nobody", "--clear-groups", "scripts/down.sh"]
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "belongs to root" in done.stderr
