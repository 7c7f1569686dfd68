"""Character accuracy on drawn pages, clean and degraded: our engine beside the paddleocr package."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from app.model.claim import Value
from app.model.reading import ReadOptions
from app.ports import Engine
from app.wiring.engine import build_engine
from bench.conditions import TURNED, UPRIGHT
from bench.pages import KINDS, DrawnPage, page
from bench.progress import say
from bench.score import edits, plain
from config.settings import EngineSettings, Settings

if TYPE_CHECKING:
    from app.ports import Image

PAGES = 3  # of each kind
TOLERATED = 0.002  # our loss that does not count: two characters in a thousand
# The defaults of paddleocr: shrink pictures above 4,000 pixels, and leave out no line.
AS_IT_COMES = ReadOptions(side_limit=4000, min_score=0.0)

READERS = ("ours", "paddleocr", "paddleocr_960")
TITLES = {
    "ours": "this engine",
    "paddleocr": "paddleocr 3.7 as it comes",
    "paddleocr_960": "paddleocr 3.7 at our side limit",
}


@dataclass(frozen=True)
class Cell:
    """The number of characters, and of those that each reader got wrong."""

    characters: int
    wrong: Mapping[str, int]

    def accuracy(self) -> dict[str, float]:
        return {reader: round(1 - wrong / self.characters, 4) for reader, wrong in self.wrong.items()}


class Readers:
    """Our engine with its default settings, and paddleocr with the same models."""

    def __init__(self, settings: EngineSettings, options: Mapping[str, Value]) -> None:
        self._ours = build_engine(settings)
        self._paddle = build_engine(settings.model_copy(update={"name": "paddleocr"}))
        self._options = read_options(options)
        self._side_limit = settings.side_limit

    def read(self, image: Image) -> dict[str, list[str]]:
        theirs = _lines(self._paddle, image, AS_IT_COMES)
        same = max(image.shape[:2]) <= self._side_limit
        return {
            "ours": _lines(self._ours, image, self._options),
            "paddleocr": theirs,
            "paddleocr_960": theirs if same else _lines(self._paddle, image, ReadOptions()),
        }


def measure(options: Mapping[str, Value], pages: int = PAGES) -> dict[str, Any]:
    """The share of correct characters, by condition and kind of page. options: of requests to our service."""
    readers = Readers(Settings().engine, options)
    drawn = [page(kind, number) for kind in KINDS for number in range(pages)]
    cells: dict[str, dict[str, Cell]] = {}
    misread: list[dict[str, Any]] = []
    for condition, degrade in (UPRIGHT | TURNED).items():
        by_kind = defaultdict(list)
        for one in drawn:
            read = readers.read(degrade(one.image))
            cell = _compared(one, read)
            by_kind[one.kind].append(cell)
            if cell.wrong["ours"] > cell.wrong["paddleocr"]:
                misread.append(_misread(condition, one, read))
        cells[condition] = {kind: _sum(of_kind) for kind, of_kind in by_kind.items()}
        shares = _sum(cells[condition].values()).accuracy()
        say(f"  {condition}: " + ", ".join(f"{name} {shares[name]:.2%}" for name in READERS))
    return {"pages": len(drawn), **_shares(cells), "misread": misread}


def _shares(cells: Mapping[str, Mapping[str, Cell]]) -> dict[str, Any]:
    """cells: by condition and kind of page."""
    return {
        "overall": _sum(cell for name in UPRIGHT for cell in cells[name].values()).accuracy(),
        "turned": _sum(cell for name in TURNED for cell in cells[name].values()).accuracy(),
        "cells": {
            condition: {kind: cell.accuracy() for kind, cell in kinds.items()}
            | {"all": _sum(kinds.values()).accuracy()}
            for condition, kinds in cells.items()
        },
    }


def read_options(options: Mapping[str, Value]) -> ReadOptions:
    """The engine's options among the options of a request."""
    known = {one.name for one in fields(ReadOptions)}
    chosen: dict[str, Any] = {name: value for name, value in options.items() if name in known}
    if "min_score" in chosen:
        chosen["min_score"] = float(chosen["min_score"])
    return ReadOptions(**chosen)


def is_below(cell: Mapping[str, float]) -> bool:
    """Whether our engine reads worse than paddleocr with its defaults."""
    return cell["ours"] < cell["paddleocr"] - TOLERATED


def _lines(engine: Engine, image: Image, options: ReadOptions) -> list[str]:
    return [line.text for line in engine.read(image, options).lines]


def _compared(drawn: DrawnPage, read: Mapping[str, Sequence[str]]) -> Cell:
    label = plain(drawn.lines)
    return Cell(
        len(label), {name: min(len(label), edits(plain(lines), label)) for name, lines in read.items()}
    )


def _sum(cells: Iterable[Cell]) -> Cell:
    all_ = list(cells)
    return Cell(
        sum(cell.characters for cell in all_),
        {reader: sum(cell.wrong[reader] for cell in all_) for reader in READERS},
    )


def _misread(condition: str, drawn: DrawnPage, read: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A page that paddleocr read better, with the lines that ours got wrong."""
    ours, theirs = ({plain([line]) for line in read[name]} for name in ("ours", "paddleocr"))
    label = {plain([line]) for line in drawn.lines}
    return {
        "condition": condition,
        "kind": drawn.kind,
        "page": drawn.number,
        "expected": sorted(label - ours),
        "ours": sorted(ours - label),
        "paddleocr": sorted(theirs - label),
    }
