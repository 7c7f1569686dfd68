"""DB post-processing, over probability maps that are drawn here instead of computed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from app.ocr.crop import Corners
from app.ocr.detect import Detector
from app.ocr.model_folder import DetectionModel
from app.ocr.runtimes import Floats, Outputs, Shape

if TYPE_CHECKING:
    from app.ports import Image

MODEL = DetectionModel(
    Path(), (0.5,) * 3, (0.5,) * 3, 1 / 255, thresh=0.3, box_thresh=0.6, unclip_ratio=1.5, max_candidates=100
)


class MapNetwork:
    """Finds text where the input is bright, as probable as it is bright there. Remembers inputs' sides."""

    runtime = "none"

    def __init__(self) -> None:
        self.sides: list[tuple[int, ...]] = []

    def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
        inputs = list(inputs)
        self.sides += [array.shape[2:] for array in inputs]
        return [((array[:, :1] + 1) / 2,) for array in inputs]

    def prepare(self, shape: Shape) -> None: ...


def detect(
    *bars: tuple[int, int, int, int],
    brightness: int = 255,
    shape: tuple[int, int] = (200, 400),
    **options: int,
) -> list[Corners]:
    image = np.zeros((*shape, 3), np.uint8)
    for left, top, right, bottom in bars:
        image[top:bottom, left:right] = brightness
    detector = Detector(MODEL, MapNetwork(), side_limit=960, max_lines=options.get("max_lines", 100))
    return detector.detect(image, side_limit=options.get("side_limit", 960))


def test_a_kernel_grows_to_its_line_on_all_sides() -> None:
    [corners] = detect((100, 60, 301, 81))
    # Shrunk by area * ratio / perimeter: 200 x 20 pixels grow by 13.6 on each side.
    assert corners.tolist() == [[86, 46], [314, 46], [314, 94], [86, 94]]


def test_corners_are_in_the_pixels_of_the_picture_and_inside_it() -> None:
    [corners] = detect((0, 600, 1201, 681), shape=(800, 2000), side_limit=500)
    assert corners[0] == pytest.approx((0, 547), abs=8)
    assert corners[2] == pytest.approx((1255, 735), abs=8)


@pytest.mark.parametrize(
    ("bar", "brightness"), [((100, 60, 300, 80), 140), ((100, 60, 102, 62), 255)], ids=["faint", "tiny"]
)
def test_faint_and_tiny_spots_are_no_lines(bar: tuple[int, int, int, int], brightness: int) -> None:
    assert detect(bar, brightness=brightness) == []


def test_lines_are_bounded() -> None:
    bars = [(10, 10 + 40 * row, 300, 20 + 40 * row) for row in range(4)]
    assert len(detect(*bars)) == 4
    assert len(detect(*bars, max_lines=3)) == 3


def test_a_line_that_leans_keeps_its_angle() -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    cv2.line(image, (80, 200), (320, 100), (255, 255, 255), 20)
    [corners] = Detector(MODEL, MapNetwork(), side_limit=960, max_lines=9).detect(image)
    along = corners[1] - corners[0]
    assert np.degrees(np.arctan2(along[1], along[0])) == pytest.approx(-22.6, abs=1)


def rows_of_text(height: int, *, scale: int = 1) -> Image:
    """Bars as detection marks lines of that height: it grows them back by nearly as much."""
    image = np.zeros((320 * scale, 640 * scale, 3), np.uint8)
    for top in range(20, 300, 40):
        bar = image[top * scale : (top + height // 2) * scale, 40 * scale : 600 * scale]
        bar[:] = 255
    return image


@pytest.mark.parametrize(
    ("height", "scale", "sides"),
    [
        (20, 1, [(320, 640)]),
        (8, 1, [(320, 640), (640, 1280)]),  # a small picture of small text is enlarged
        (8, 3, [(320, 640), (640, 1280)]),  # a large one shrunk by less
    ],
)
def test_small_text_is_looked_at_again_enlarged(
    height: int, scale: int, sides: list[tuple[int, int]]
) -> None:
    network = MapNetwork()
    detector = Detector(MODEL, network, side_limit=640, max_lines=100)
    boxes = detector.detect(rows_of_text(height, scale=scale))
    assert network.sides == sides
    assert len(boxes) == 7
    first = boxes[int(np.argmin([box[0, 1] for box in boxes]))].mean(axis=0)
    assert first == pytest.approx((320 * scale, (20 + height / 4) * scale), abs=2 * scale)


def test_a_side_limit_that_was_asked_for_is_kept_to() -> None:
    network = MapNetwork()
    Detector(MODEL, network, side_limit=960, max_lines=100).detect(rows_of_text(8), side_limit=640)
    assert network.sides == [(320, 640)]
