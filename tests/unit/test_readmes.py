"""README.md and its Chinese twin: the same headings, examples, tables and links."""

from __future__ import annotations

import re

import pytest

from config.settings import ROOT

ENGLISH = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    return FENCED.sub("", text)


def levels(text: str) -> list[str]:
    return re.findall(r"^(#+) ", prose(text), re.MULTILINE)


def links(text: str) -> set[str]:
    return set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh-CN.md"}


def test_both_have_the_same_headings() -> None:
    assert levels(ENGLISH) == levels(CHINESE)
    assert len(levels(ENGLISH)) > 8


def test_both_have_the_same_examples() -> None:
    assert FENCED.findall(ENGLISH) == FENCED.findall(CHINESE)
    indented = re.compile(r"^    \S.*$", re.MULTILINE)
    assert indented.findall(prose(ENGLISH)) == indented.findall(prose(CHINESE))


def test_both_have_the_same_commands() -> None:
    command = re.compile(r"`((?:users|sign|read|usage|models|db|doctor)\b[^`]*)`")
    assert sorted(command.findall(ENGLISH)) == sorted(command.findall(CHINESE))


def test_both_have_the_same_links() -> None:
    assert links(ENGLISH) == links(CHINESE)
    assert len(links(ENGLISH)) > 15


def tables(text: str) -> list[list[int]]:
    """The columns of each row of each table."""
    found = re.findall(r"(?:^\|.*\n)+", prose(text), re.MULTILINE)
    return [[len(re.findall(r"(?<!\\)\|", row)) - 1 for row in table.splitlines()] for table in found]


def test_both_have_the_same_tables() -> None:
    assert tables(ENGLISH) == tables(CHINESE)
    assert len(tables(ENGLISH)) >= 4


def test_both_have_the_same_figures_of_speed() -> None:
    """Measured once, so they may not differ."""
    start = r"\| p50.*"
    [english] = re.findall(start, ENGLISH)
    [chinese] = re.findall(start, CHINESE)
    assert english.split(" | ")[1:] == chinese.split(" | ")[1:]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_every_link_leads_somewhere(text: str) -> None:
    for link in links(text):
        assert link.startswith("https://") or (ROOT / link.partition("#")[0]).exists(), link
