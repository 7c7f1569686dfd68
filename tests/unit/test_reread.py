"""Lines that are read again, by a recogniser that knows how each one truly lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.ocr.crop import Corners, rotate_to, text_direction
from app.ocr.page import RecognizedLine
from app.ocr.reread import main_direction, reread


class Lines:
    """Reads a line surely along its true direction, and badly along others. Counts what it reads.

    true: left edge of each line's box -> direction, text and score.
    """

    def __init__(self, true: dict[int, tuple[int, str, float]]) -> None:
        self.true = true
        self.read = 0

    def __call__(self, boxes: Sequence[Corners]) -> list[RecognizedLine]:
        self.read += len(boxes)
        return [self._one(box) for box in boxes]

    def _one(self, box: Corners) -> RecognizedLine:
        direction, text, score = self.true[int(box[:, 0].min())]
        return (
            RecognizedLine(text, score, box)
            if text_direction(box) == direction
            else RecognizedLine("#" * len(text), 0.3, box)
        )


def box(x: int, width: int = 100, height: int = 20, direction: int = 0) -> Corners:
    upright = np.array([(x, 0), (x + width, 0), (x + width, height), (x, height)], np.float32)
    return rotate_to(upright, direction)


def texts(readings: Sequence[RecognizedLine]) -> list[str]:
    return [reading.text for reading in readings]


def test_sure_lines_are_not_read_again() -> None:
    lines = Lines({0: (0, "one", 0.9), 200: (0, "two", 0.9)})
    readings = lines([box(0), box(200)])
    assert reread(readings, lines) == readings
    assert lines.read == 2


def test_a_doubtful_line_is_read_the_other_way_up() -> None:
    lines = Lines({0: (0, "one long line", 0.9), 200: (0, "two", 0.9), 400: (2, "three", 0.9)})
    assert texts(reread(lines([box(x) for x in (0, 200, 400)]), lines)) == [
        "one long line", "two", "three",
    ]  # fmt: skip
    assert lines.read == 5  # the one that is upside down once more along with the page


def test_a_short_word_follows_its_page_although_it_reads_well_sideways() -> None:
    """As Z does that is an N on its side."""
    lines = Lines({0: (0, "a long line", 0.99), 200: (0, "N", 0.9)})
    sideways = RecognizedLine("Z", 0.95, box(200, 20, 24, direction=1))
    assert texts(reread([*lines([box(0)]), sideways], lines)) == ["a long line", "N"]


def test_a_long_line_may_run_otherwise_than_its_page() -> None:
    lines = Lines({0: (0, "a long line", 0.99), 200: (0, "#" * 9, 0.9)})
    spine = RecognizedLine("The spine", 0.95, box(200, 20, 200, direction=1))
    assert texts(reread([*lines([box(0)]), spine], lines)) == ["a long line", "The spine"]


def test_a_short_word_that_the_page_does_not_explain_stays() -> None:
    """Two characters, one below the other."""
    lines = Lines({0: (0, "a long line", 0.99), 200: (1, "姓名", 0.9)})
    stacked = RecognizedLine("姓名", 0.8, box(200, 20, 40, direction=1))
    assert texts(reread([*lines([box(0)]), stacked], lines)) == ["a long line", "姓名"]


def test_the_main_direction_is_that_of_most_text() -> None:
    readings = [
        RecognizedLine("a long line", 0.9, box(0, direction=3)),
        *(RecognizedLine("1", 1, box(9)),) * 3,
    ]
    assert main_direction(readings) == 3
    assert main_direction([]) == 0
