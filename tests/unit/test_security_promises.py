"""SECURITY.md claims what a test holds: each row names its tests and its files."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from config.settings import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if re.match(r"\| [A-Z`].*::", line)]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_is_found() -> None:
    assert TEXT.count("::") == sum(len(quoted(row[2])) for row in ROWS) >= 60


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:50] for row in ROWS])
def test_each_promise_names_its_files_and_tests(row: list[str]) -> None:
    _, where, tests = row
    assert quoted(where) and all((ROOT / path).exists() for path in quoted(where))
    for named in quoted(tests):
        file, _, name = named.partition("::")
        assert name.startswith("test_") and name in functions(file), named


@cache
def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
