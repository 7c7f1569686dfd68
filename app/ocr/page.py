"""Assemble the recognised lines into a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.model.reading import Line, Page, Quad, ReadOptions
from app.ocr.crop import Corners
from app.ocr.order import reading_order


@dataclass(frozen=True, slots=True, eq=False)
class RecognizedLine:
    """score: mean probability of the characters (0-1), 0 without characters.

    corners: in image pixels, clockwise from where the text begins in the direction it was read.
    """

    text: str
    score: float
    corners: Corners


def assemble_page(model: str, readings: Sequence[RecognizedLine], options: ReadOptions) -> Page:
    """The lines in reading order, without empty lines and lines below options.min_score."""
    kept = [reading for reading in readings if reading.text.strip() and reading.score >= options.min_score]
    ordered = (kept[i] for i in reading_order([reading.corners for reading in kept]))
    return Page(tuple(Line(r.text, r.score, _quad(r.corners)) for r in ordered), model)


def _quad(corners: Corners) -> Quad:
    a, b, c, d = ((int(x), int(y)) for x, y in corners)
    return a, b, c, d
