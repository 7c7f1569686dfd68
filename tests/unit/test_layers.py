"""The layers and doors of pyproject.toml, tried on a copy of the code that breaks them."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import ROOT

CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "importlinter"
]["contracts"]
LIBRARIES = sorted(
    library
    for contract in CONTRACTS
    if contract["type"] == "forbidden"
    for library in contract["forbidden_modules"]
    if library != "config"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("app", "config"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_module_that_nobody_thought_of_is_refused(copy: Path) -> None:
    """In no layer, and through every door: what a contract that lists its modules by hand would let pass."""
    (copy / "app" / "newcomer.py").write_text("".join(f"import {library}\n" for library in LIBRARIES))
    found = lint(copy)
    assert found.returncode == 1, found.stdout
    assert "app.newcomer" in found.stdout
    missed = [library for library in LIBRARIES if f"app.newcomer -> {library}" not in found.stdout]
    assert not missed


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("app/limits/upwards.py", "from app.service import recognise\n"),
        ("app/ocr/sideways.py", "from app.decode import limits\n"),
        ("app/state/sql/upwards.py", "from app.state.redis_front import client\n"),
        ("app/engine/reads_settings.py", "from config.settings import Settings\n"),
    ],
)
def test_an_import_that_points_up_or_sideways_is_refused(copy: Path, file: str, line: str) -> None:
    (copy / file).write_text(line)
    found = lint(copy)
    assert found.returncode == 1, found.stdout
    assert file.removesuffix(".py").replace("/", ".") in found.stdout


def test_each_library_has_its_door() -> None:
    assert set(third_party()) <= set(LIBRARIES)


def third_party() -> Iterator[str]:
    own = sys.stdlib_module_names | {"app", "config", "_typeshed"}
    for file in (*(ROOT / "app").rglob("*.py"), *(ROOT / "config").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            yield from (root for name in names if name and (root := name.partition(".")[0]) not in own)
