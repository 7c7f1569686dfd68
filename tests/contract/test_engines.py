"""One expectation over every engine and runtime, on the same pictures and the same model folders."""

from __future__ import annotations

import difflib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from app.model import Page, ReadOptions
from app.ports import Engine
from app.wiring import build_engine
from config.settings import EngineSettings
from samples import draw

if TYPE_CHECKING:
    from app.ports import Image

DRAWINGS = {drawing.__name__: drawing for drawing in draw.SAMPLES}
ALIKE = 0.99


def array(drawn: draw.Drawn) -> Image:
    return np.ascontiguousarray(np.asarray(drawn.image)[:, :, ::-1])


def alike(one: str, other: str) -> float:
    """The part of the characters that two texts share, in order (0-1)."""
    matched = sum(
        block.size for block in difflib.SequenceMatcher(None, one, other, False).get_matching_blocks()
    )
    return 2 * matched / max(1, len(one) + len(other))


def sorted_text(page: Page) -> str:
    return "\n".join(sorted(line.text for line in page.lines))


@pytest.fixture(scope="module")
def engines(models_dir: Path) -> dict[str, Engine]:
    """PaddleOCR last: importing it changes warnings and loggers of the process."""
    return {
        name: build_engine(EngineSettings(models_dir=models_dir, **choice))  # type: ignore[arg-type]
        for name, choice in {
            "openvino": {"runtime": "openvino"},
            "onnxruntime": {"runtime": "onnxruntime"},
            "paddleocr": {"name": "paddleocr"},
        }.items()
    }


@pytest.fixture(scope="module", params=["openvino", "onnxruntime", "paddleocr"])
def engine(request: pytest.FixtureRequest, engines: dict[str, Engine]) -> Engine:
    return engines[request.param]


@pytest.mark.parametrize("name", sorted(DRAWINGS.keys() - {"tall", "upside_down"}))
def test_it_reads_what_was_drawn(engine: Engine, name: str) -> None:
    drawn = DRAWINGS[name]()
    page = engine.read(array(drawn), ReadOptions())
    assert alike(page.text, "\n".join(drawn.lines)) >= ALIKE
    assert page.model == "PP-OCRv6_small"


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_ours_read_upside_down(engines: dict[str, Engine], name: str) -> None:
    """PaddleOCR would need a third model for it."""
    drawn = draw.upside_down()
    assert engines[name].read(array(drawn), ReadOptions()).text == "\n".join(drawn.lines)


def test_it_reads_tall_text(engine: Engine) -> None:
    """Spines on a shelf; in which order to read them is a matter of taste."""
    drawn = draw.tall()
    page = engine.read(array(drawn), ReadOptions())
    assert alike(sorted_text(page), "\n".join(sorted(drawn.lines))) >= ALIKE


def test_ours_agree_with_paddleocr(engines: dict[str, Engine]) -> None:
    """At least 99 % of all characters on all upright samples together, by either runtime."""
    pictures = [array(drawing()) for name, drawing in DRAWINGS.items() if name != "upside_down"]
    texts = {
        name: "\n".join(sorted_text(engine.read(picture, ReadOptions())) for picture in pictures)
        for name, engine in engines.items()
    }
    assert alike(texts["openvino"], texts["paddleocr"]) >= ALIKE
    assert alike(texts["onnxruntime"], texts["paddleocr"]) >= ALIKE


def test_boxes_hold_their_text(engine: Engine) -> None:
    """All dark pixels of a numbered picture are inside the box of its only line, which begins top left."""
    picture = array(draw.numbered(5))
    [line] = engine.read(picture, ReadOptions()).lines
    (left, top), _, (right, bottom), _ = line.box
    ys, xs = np.nonzero(picture.min(axis=2) < 100)
    assert left <= xs.min() + 3
    assert right >= xs.max() - 3
    assert top <= ys.min() + 3
    assert bottom >= ys.max() - 3
    assert right - left < 1.5 * np.ptp(xs)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.full((1, 3000, 3), 255, np.uint8),
        np.full((3000, 1, 3), 255, np.uint8),
        np.zeros((500, 500, 3), np.uint8),
        (np.indices((500, 500)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None].repeat(3, axis=2),
    ],
    ids=["1x1", "3000x1", "1x3000", "black", "checkerboard"],
)
def test_pictures_without_text_are_pages_without_lines(engine: Engine, picture: Image) -> None:
    assert engine.read(picture, ReadOptions()).lines == ()


def test_options_are_for_one_call_alone(engine: Engine) -> None:
    picture = array(draw.digits())
    before = engine.read(picture, ReadOptions())
    assert engine.read(picture, ReadOptions(min_score=1.0)) != before
    assert engine.read(picture, ReadOptions(side_limit=160)) != before
    assert engine.read(picture, ReadOptions()) == before


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_several_threads_at_once_read_what_one_does(engines: dict[str, Engine], name: str) -> None:
    pictures = [array(draw.numbered(n)) for n in range(24)]
    texts = ["\n".join(draw.numbered(n).lines) for n in range(24)]
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(lambda picture: engines[name].read(picture, ReadOptions()), pictures))
    assert [page.text for page in pages] == texts


def test_boxes_are_in_the_pixels_of_the_picture_itself(engine: Engine) -> None:
    """Although detection works on a smaller copy of a large one."""
    picture = array(draw.numbered(7))
    [small] = engine.read(picture, ReadOptions()).lines
    large = cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    [line] = engine.read(large, ReadOptions()).lines
    assert line.text == small.text
    centre, expected = np.mean(line.box, axis=0) / 4, np.mean(small.box, axis=0)
    assert np.abs(centre - expected).max() < 6
