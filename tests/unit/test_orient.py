"""Pages that lie: how often they are read, and where their boxes end up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from app.ocr.crop import Corners, text_direction, text_first
from app.ocr.orient import PROBES, read_upright, rotated_back
from app.ocr.page import RecognizedLine

if TYPE_CHECKING:
    from app.ports import Image

BAR, HEAD = 120, 255


def sheet(lines: int = 12) -> Image:
    """Dark but for a bar in place of each line, whose first fifth is brighter."""
    image = np.zeros((40 * lines + 20, 300, 3), np.uint8)
    for row in range(lines):
        image[40 * row + 10 : 40 * row + 30, 50:250] = BAR
        image[40 * row + 10 : 40 * row + 30, 50:90] = HEAD
    return image


class Bars:
    """Finds the bars of a sheet, and reads those well that begin with their head; `sides` not at all."""

    def __init__(self, *, sides: bool = True) -> None:
        self.sides = sides
        self.detected = self.read = 0

    def detect(self, image: Image) -> list[Corners]:
        self.detected += 1
        down = image.shape[1] > image.shape[0]
        profile = image.max(axis=(0, 2) if down else (1, 2)) > 0
        edges = np.flatnonzero(np.diff(profile.astype(int))) + 1
        along = np.flatnonzero(image.max(axis=(1, 2) if down else (0, 2)) > 0)
        boxes = []
        for start, end in edges.reshape(-1, 2):
            corners = [(along[0], start), (along[-1] + 1, start), (along[-1] + 1, end), (along[0], end)]
            boxes.append(
                text_first(np.array([c[::-1] for c in corners][::-1] if down else corners, np.float32))
            )
        return boxes

    def recognize(self, image: Image, boxes: Sequence[Corners]) -> list[RecognizedLine]:
        self.read += len(boxes)
        return [self._one(image, box) for box in boxes]

    def _one(self, image: Image, box: Corners) -> RecognizedLine:
        x, y = (box[0] * 0.9 + box[2] * 0.1).astype(int)
        sure = image[y, x, 0] == HEAD and (self.sides or text_direction(box) in (0, 2))
        return RecognizedLine("some text", 0.95 if sure else 0.4, box)


@pytest.mark.parametrize("turns", range(4))
def test_a_turned_page_is_read_upright_and_its_boxes_are_where_they_lie(turns: int) -> None:
    upright, bars = sheet(), Bars()
    expected = [reading.corners for reading in read_upright(upright, bars.detect, bars.recognize)]
    lies = np.ascontiguousarray(np.rot90(upright, -turns))  # np.rot90 by `turns` makes it upright
    readings = read_upright(lies, bars.detect, bars.recognize)
    assert {reading.score for reading in readings} == {0.95}
    for reading in readings:
        assert text_direction(reading.corners) == turns
        x, y = (reading.corners[0] * 0.9 + reading.corners[2] * 0.1).astype(int)
        assert lies[y, x, 0] == HEAD
    back = [rotated_back(corners, turns, lies.shape) for corners in expected]
    found = [reading.corners for reading in readings]
    assert sorted(np.stack(back).tolist()) == sorted(np.stack(found).tolist())


def test_an_upright_page_costs_no_more() -> None:
    bars = Bars()
    read_upright(sheet(), bars.detect, bars.recognize)
    assert (bars.detected, bars.read) == (1, 12)


def test_a_page_upside_down_is_found_out_by_a_few_lines() -> None:
    bars = Bars()
    read_upright(np.ascontiguousarray(sheet()[::-1, ::-1]), bars.detect, bars.recognize)
    assert bars.detected == 2
    assert bars.read <= 12 + 3 * PROBES


@pytest.mark.parametrize("turns", [1, 3])
def test_all_four_are_tried_where_nothing_is_clear(turns: int) -> None:
    bars = Bars(sides=False)
    readings = read_upright(np.ascontiguousarray(np.rot90(sheet(), turns)), bars.detect, bars.recognize)
    assert {reading.score for reading in readings} == {0.95}
    assert bars.detected <= 5


def test_a_blank_page_is_looked_at_once() -> None:
    bars = Bars()
    assert read_upright(np.zeros((100, 80, 3), np.uint8), bars.detect, bars.recognize) == []
    assert (bars.detected, bars.read) == (1, 0)
