"""CTC decoding, and that every line gets its own text whatever the order in which they are computed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from app.ocr.crop import MARGIN, MAX_WIDTH, Corners, width_at
from app.ocr.model_folder import RecognitionModel
from app.ocr.recognize import MIN_WIDTH, USUAL_WIDTH, Recognizer, line_input, nearest_width
from app.ocr.runtimes import Floats, Outputs, Shape

MODEL = RecognitionModel(Path(), 48, ("", "a", "b", " "))
IMAGE = np.zeros((100, 3000, 3), np.uint8)


def box(width: int) -> Corners:
    return np.array([(0, 0), (width, 0), (width, 48), (0, 48)], np.float32)


class ScriptNetwork:
    """Answers with the same classes for every line, and remembers the widths that it was given."""

    runtime = "a script"

    def __init__(self, classes: list[int], scores: list[float]) -> None:
        self.classes, self.scores = np.array([classes]), np.array([scores], np.float32)
        self.widths: list[int] = []
        self.prepared: list[Shape] = []

    def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
        self.widths = [array.shape[3] for array in inputs]
        return [(self.classes, self.scores) for _ in self.widths]

    def prepare(self, shape: Shape) -> None:
        self.prepared.append(shape)


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        ([0, 1, 1, 0, 1, 2, 0], "aab"),  # a repeated class is one character, unless a blank parts it
        ([1, 3, 2, 2, 0, 0, 0], "a b"),
        ([3, 0, 1, 2, 0, 3, 0], "ab"),
        ([0, 0, 0, 0, 0, 0, 0], ""),
    ],
)
def test_classes_become_text(classes: list[int], text: str) -> None:
    [reading] = Recognizer(MODEL, ScriptNetwork(classes, [1.0] * 7)).recognize(IMAGE, [box(100)])
    assert reading.text == text


def test_the_score_is_the_mean_over_the_characters_kept() -> None:
    network = ScriptNetwork([0, 1, 1, 0, 2], [0.1, 0.9, 0.2, 0.1, 0.5])
    [reading] = Recognizer(MODEL, network).recognize(IMAGE, [box(100)])
    assert reading.score == pytest.approx(0.7)


def test_readings_come_in_the_order_of_the_boxes() -> None:
    class WidthNetwork(ScriptNetwork):
        def run(self, inputs: Iterable[Floats]) -> list[Outputs]:
            super().run(inputs)
            return [(np.array([[1] if width > 300 else [2]]), self.scores[:, :1]) for width in self.widths]

    network = WidthNetwork([1], [1.0])
    readings = Recognizer(MODEL, network).recognize(IMAGE, [box(600), box(100), box(400)])
    assert [reading.text for reading in readings] == ["a", "b", "a"]
    assert network.widths == sorted(network.widths)


def test_all_widths_up_to_the_widest_are_few_shapes() -> None:
    network = ScriptNetwork([0], [1.0])
    Recognizer(MODEL, network).recognize(IMAGE, [box(width) for width in range(1, 4000, 7)])
    assert len(set(network.widths)) <= 25
    assert min(network.widths) == MIN_WIDTH
    assert max(network.widths) == nearest_width(MAX_WIDTH)


def test_lines_are_stretched_by_an_eighth_at_most() -> None:
    for width in range(64, MAX_WIDTH + 1):
        assert abs(nearest_width(width) - width) <= width / 8


@pytest.mark.parametrize("wide", [20, 40, 75, 330, 700])
def test_a_line_fills_its_input_unless_it_is_very_narrow(wide: int) -> None:
    own = width_at(box(wide), 48)
    line = line_input(IMAGE + 255, box(wide), width=nearest_width(own), height=48)[0]
    assert line.shape == (3, 48, nearest_width(own))
    assert (line[:, :, :own] == 1).all()
    assert (line[:, :, own:] == (0 if wide < MIN_WIDTH else 1)).all()


def test_a_warm_up_prepares_for_every_usual_width() -> None:
    network = ScriptNetwork([0], [1.0])
    recognizer = Recognizer(MODEL, network)
    recognizer.warm_up()
    widest = int(USUAL_WIDTH * (1 + 2 * MARGIN)) - 48  # in pixels of a box that gets a margin
    recognizer.recognize(IMAGE, [box(width) for width in range(1, widest)])
    assert max(network.widths) == USUAL_WIDTH
    assert set(network.widths) <= {shape[3] for shape in network.prepared}
    assert len(network.prepared) == len(set(network.prepared))


def test_no_boxes_no_readings() -> None:
    assert Recognizer(MODEL, ScriptNetwork([0], [1.0])).recognize(IMAGE, []) == []
