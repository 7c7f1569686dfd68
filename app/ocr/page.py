"""From boxes and what they say to a page."""

from __future__ import annotations

from collections.abc import Sequence

from app.model import Line, Page, Quad, ReadOptions
from app.ocr.crop import Corners
from app.ocr.order import reading_order


def page(
    model: str, boxes: Sequence[Corners], texts: Sequence[str], scores: Sequence[float], options: ReadOptions
) -> Page:
    """The lines in reading order, without the empty ones and those that score below options.min_score."""
    lines = (
        Line(texts[i], float(scores[i]), _quad(boxes[i]))
        for i in reading_order(boxes)
        if texts[i] and scores[i] >= options.min_score
    )
    return Page(tuple(lines), model)


def _quad(corners: Corners) -> Quad:
    a, b, c, d = ((int(x), int(y)) for x, y in corners)
    return a, b, c, d
