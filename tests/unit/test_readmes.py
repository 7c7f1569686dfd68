"""Each document that has a Chinese twin: both have the same headings, code, figures, tables and links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.settings import ROOT

TWINS = {ROOT / f"{name}.md": ROOT / f"{name}.zh-CN.md" for name in ("README", "docs/api", "docs/operations")}
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^ {4}\S.*$", re.MULTILINE)
COMMENT = re.compile(r" {2,}# .*$", re.MULTILINE)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
CELLS = re.compile(r"(?<!\\)\|")
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)]+)\)")
NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")
CHINESE = re.compile(r"[\u4e00-\u9fff]")

every_pair = pytest.mark.parametrize(("english", "chinese"), TWINS.items(), ids=[path.name for path in TWINS])
every_document = pytest.mark.parametrize("path", [*TWINS, *TWINS.values()], ids=lambda path: path.name)


def prose(path: Path) -> str:
    return FENCED.sub("", path.read_text("utf-8"))


def headings(path: Path) -> list[tuple[str, str]]:
    """Level and title of each heading."""
    return HEADING.findall(prose(path))


def code(path: Path) -> list[str]:
    """The code blocks without their comments, which are translated."""
    blocks = FENCED.findall(path.read_text("utf-8")) + INDENTED.findall(prose(path))
    return [COMMENT.sub("", block) for block in blocks]


def sections(path: Path) -> list[str]:
    """Each heading with the text under it."""
    return re.split(r"^(?=#)", shared(path), flags=re.MULTILINE)


def rows(path: Path) -> list[list[str]]:
    """The cells of each row of all tables."""
    lines = "".join(TABLE.findall(shared(path))).splitlines()
    return [[cell.strip() for cell in CELLS.split(line)] for line in lines]


def shared(path: Path) -> str:
    """The prose without code blocks and without what has to differ: links to twins, commas between names."""
    text = "\n".join(line for line in prose(path).splitlines() if line not in switches(path))
    return INDENTED.sub("", text).replace(".zh-CN.md", ".md").replace("`、`", "`, `") + "\n"


def switches(path: Path) -> tuple[str, str]:
    """The lines that link the two languages."""
    name = path.name.partition(".")[0]
    return f"English · [中文]({name}.zh-CN.md)", f"[English]({name}.md) · 中文"


def spans(text: str) -> set[str]:
    """Names of settings, commands, metrics, fields and files."""
    return {" ".join(span.split()) for span in SPAN.findall(text)}


def numbers(text: str) -> set[str]:
    return {number.replace(",", "") for number in NUMBER.findall(SPAN.sub("", LINK.sub("", text)))}


def links(text: str) -> set[str]:
    """Files and addresses. Anchors are translated within a document."""
    return {link.partition("#")[0] for link in LINK.findall(text)}


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in headings(path)}


@every_pair
def test_both_have_the_same_headings(english: Path, chinese: Path) -> None:
    levels = [level for level, _ in headings(english)]
    assert levels == [level for level, _ in headings(chinese)]
    assert len(levels) > 5


@every_pair
def test_both_have_the_same_code_blocks(english: Path, chinese: Path) -> None:
    assert code(english)
    assert code(english) == code(chinese)


@every_pair
def test_each_section_has_the_same_names_figures_and_links(english: Path, chinese: Path) -> None:
    for text, twin in zip(sections(english), sections(chinese), strict=True):
        assert spans(text) == spans(twin)
        assert numbers(text) == numbers(twin)
        assert links(text) == links(twin)


@every_pair
def test_both_have_the_same_tables(english: Path, chinese: Path) -> None:
    """A cell without Chinese words is a copy: status codes, figures, commands, metrics."""
    assert len(rows(english)) > 20
    for row, twins in zip(rows(english), rows(chinese), strict=True):
        for cell, twin in zip(row, twins, strict=True):
            assert CHINESE.search(twin) or cell == twin
            assert (spans(cell), numbers(cell)) == (spans(twin), numbers(twin))


@every_pair
def test_the_languages_link_to_each_other_below_the_title(english: Path, chinese: Path) -> None:
    assert tuple(path.read_text("utf-8").splitlines()[2] for path in (english, chinese)) == switches(english)


@every_document
def test_every_link_leads_somewhere(path: Path) -> None:
    local = [link for link in LINK.findall(prose(path)) if not link.startswith("https://")]
    assert local
    for link in local:
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", TWINS.values(), ids=lambda path: path.name)
def test_a_chinese_document_links_to_chinese_ones(path: Path) -> None:
    text = prose(path).replace(switches(path)[1], "")
    assert not {(path.parent / link).resolve() for link in links(text) if link} & TWINS.keys()
