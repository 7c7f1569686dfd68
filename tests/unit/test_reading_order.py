"""Reading order of hand-made boxes."""

from __future__ import annotations

import numpy as np
import pytest

from app.ocr.crop import Corners, rotate_to
from app.ocr.order import reading_order


def box(x: float, y: float, width: float, height: float = 20) -> Corners:
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], np.float32)


def skewed(boxes: list[Corners], degrees: float) -> list[Corners]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return [(corners @ np.array([[c, s], [-s, c]])).astype(np.float32) for corners in boxes]


RECEIPT = [
    box(150, 0, 200, 40),  # the shop, in large letters
    box(20, 60, 180), box(420, 64, 60),  # an article, and its price a little lower
    box(20, 90, 120), box(300, 88, 20), box(420, 86, 60),
    box(20, 130, 100, 30), box(400, 132, 80, 30),  # the total, larger
]  # fmt: skip

COLUMNS = [
    box(40, 0, 900, 40),  # a heading over both columns
    *(box(40, 60 + 30 * row, 400) for row in range(6)),
    *(box(520, 55 + 30 * row, 400) for row in range(6)),
    box(40, 300, 880),  # and a footer below them
]


@pytest.mark.parametrize("degrees", [0, 3, -3, 8, -8, 90, 180, 270])
@pytest.mark.parametrize("page", [RECEIPT, COLUMNS], ids=["receipt", "columns"])
def test_pages_are_read_as_a_person_would_however_they_lie(page: list[Corners], degrees: float) -> None:
    shuffled = np.random.default_rng(7).permutation(len(page))
    boxes = skewed([page[i] for i in shuffled], degrees)
    assert [int(shuffled[i]) for i in reading_order(boxes)] == list(range(len(page)))


def test_an_article_and_its_price_stay_together() -> None:
    """However far apart, and even where every row has two sides: prices are no column of prose."""
    page = [piece for row in range(8) for piece in (box(20, 30 * row, 300), box(800, 30 * row + 3, 60))]
    assert reading_order(page) == list(range(len(page)))


def test_a_row_may_bend_with_the_paper() -> None:
    page = [box(100 * i, 4 * i, 90) for i in range(6)] + [box(100 * i, 30 + 4 * i, 90) for i in range(6)]
    assert reading_order(page) == list(range(12))


@pytest.mark.parametrize("direction", [1, 2, 3])
def test_a_note_along_the_margin_comes_last(direction: int) -> None:
    """Whether it runs up or down, and wherever its box reaches."""
    margin = rotate_to(box(0, 20, 20, 300), direction)
    body = [box(60, 40 * row, 300) for row in range(8)]
    assert reading_order([margin, *body]) == [*range(1, 9), 0]


def test_nothing_and_one() -> None:
    assert reading_order([]) == []
    assert reading_order([box(0, 0, 0, 0)]) == [0]
