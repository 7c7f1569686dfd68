"""One expectation over every engine and runtime, on the same pictures and the same model folders."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import cv2
import numpy as np
import pytest
from PIL import Image

from app.errors import RequestMalformed
from app.model.reading import CharsetName, Page, ReadOptions
from app.ocr.engine import PpOcrEngine
from app.ports import Engine
from app.wiring.engine import build_engine
from config.settings import EngineSettings
from samples import draw

if TYPE_CHECKING:
    from app.ports import Image as Pixels

OURS = ["openvino", "int8", "onnxruntime"]
DRAWINGS = {drawing.__name__: drawing for drawing in draw.SAMPLES}
ALIKE = 0.99


def array(drawn: draw.Drawn) -> Pixels:
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
        name: build_engine(EngineSettings(models_dir=models_dir, **choice))
        for name, choice in {
            "openvino": {"runtime": "openvino"},
            "int8": {"precision": "int8"},
            "onnxruntime": {"runtime": "onnxruntime"},
            "paddleocr": {"name": "paddleocr"},
        }.items()
    }


@pytest.fixture(scope="module", params=["openvino", "int8", "onnxruntime", "paddleocr"])
def engine(request: pytest.FixtureRequest, engines: dict[str, Engine]) -> Engine:
    return engines[request.param]


@pytest.mark.parametrize("name", sorted(DRAWINGS.keys() - {"tall", "upside_down"}))
def test_it_reads_what_was_drawn(engine: Engine, name: str) -> None:
    drawn = DRAWINGS[name]()
    page = engine.read(array(drawn), ReadOptions())
    assert alike(page.text, "\n".join(drawn.lines)) >= ALIKE
    assert page.model == "PP-OCRv6_small"


@pytest.mark.parametrize("name", OURS)
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
def test_pictures_without_text_are_pages_without_lines(engine: Engine, picture: Pixels) -> None:
    assert engine.read(picture, ReadOptions()).lines == ()


def test_options_are_for_one_call_alone(engine: Engine) -> None:
    picture = array(draw.digits())
    before = engine.read(picture, ReadOptions())
    assert engine.read(picture, ReadOptions(min_score=1.0)) != before
    assert engine.read(picture, ReadOptions(side_limit=160)) != before
    if isinstance(engine, PpOcrEngine):
        assert engine.read(picture, ReadOptions(charset="digits")) != before
    assert engine.read(picture, ReadOptions()) == before


@pytest.mark.parametrize("name", OURS)
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


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    ("charset", "drawing"),
    [("latin", draw.letter), ("chinese+latin", draw.chinese), ("chinese+latin", draw.mixed)],
)
def test_a_page_within_a_charset_reads_as_by_the_full_one(
    engines: dict[str, Engine], name: str, charset: CharsetName, drawing: Callable[[], draw.Drawn]
) -> None:
    picture = array(drawing())
    full = engines[name].read(picture, ReadOptions())
    restricted = engines[name].read(picture, ReadOptions(charset=charset))
    assert restricted.text == full.text
    for one, other in zip(restricted.lines, full.lines, strict=True):
        assert one.score >= other.score - 0.01  # nothing competes but what is in the set


@pytest.mark.parametrize("name", OURS)
def test_nothing_outside_the_charset_is_read(engines: dict[str, Engine], name: str) -> None:
    page = engines[name].read(array(draw.mixed()), ReadOptions(charset="latin", min_score=0))
    assert not any(character >= "\u2e80" for character in page.text)
    assert "SPRUCE EXPRESS" in page.text
    page = engines[name].read(array(draw.digits()), ReadOptions(charset="digits"))
    assert set(page.text) <= set("0123456789.,:-+/%()\u00a5$ \n")
    assert {"2026-01-31", "54,139", "16.40"} <= {line.text for line in page.lines}


def test_the_runtimes_agree_on_every_charset(engines: dict[str, Engine]) -> None:
    for charset in get_args(CharsetName):
        # Letters become digits where nothing else is known, and which ones is decided by a hair.
        drawings = (draw.digits,) if charset == "digits" else (draw.receipt, draw.mixed, draw.digits)
        ours = [
            "\n".join(
                engines[name].read(array(drawing()), ReadOptions(charset=charset)).text
                for drawing in drawings
            )
            for name in OURS
        ]
        assert all(alike(ours[0], other) >= ALIKE for other in ours[1:])


def test_a_file_of_characters_is_the_services_own_charset(models_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "characters").write_text("T-23456789", encoding="utf-8")
    engine = build_engine(EngineSettings(models_dir=models_dir, charset=tmp_path / "characters"))
    assert engine.read(array(draw.numbered(7)), ReadOptions()).text == draw.numbered(7).lines[0]
    assert set(engine.read(array(draw.letter()), ReadOptions(min_score=0)).text) <= set("T-23456789 \n")
    assert "Dear" in engine.read(array(draw.letter()), ReadOptions(charset="full")).text


@pytest.mark.parametrize(
    ("options", "field"), [(ReadOptions(charset="latin"), "charset"), (ReadOptions(orient=True), "orient")]
)
def test_paddleocr_refuses_what_it_cannot_do(
    engines: dict[str, Engine], options: ReadOptions, field: str
) -> None:
    with pytest.raises(RequestMalformed) as caught:
        engines["paddleocr"].read(array(draw.numbered(7)), options)
    assert caught.value.field == field


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("turns", range(4))
def test_a_page_that_lies_is_read_as_if_it_stood(engines: dict[str, Engine], name: str, turns: int) -> None:
    drawn = draw.receipt()
    lies = np.ascontiguousarray(np.rot90(array(drawn), turns))
    assert engines[name].read(lies, ReadOptions(orient=True)).text == "\n".join(drawn.lines)
    assert alike(engines[name].read(lies, ReadOptions()).text, "\n".join(drawn.lines)) >= ALIKE


@pytest.mark.parametrize("drawing", [draw.two_columns, draw.receipt])
@pytest.mark.parametrize("degrees", [-10, -4, 7, 10])
def test_skewed_pages_are_read_in_order(
    engines: dict[str, Engine], degrees: int, drawing: Callable[[], draw.Drawn]
) -> None:
    drawn = drawing()
    image = drawn.image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    page = engines["openvino"].read(array(replace(drawn, image=image)), ReadOptions())
    assert alike(page.text, "\n".join(drawn.lines)) >= ALIKE


@pytest.mark.parametrize("orient", [False, True])
def test_vertical_chinese_is_read_from_the_right(engines: dict[str, Engine], *, orient: bool) -> None:
    columns = ("为了方便大家在春天读书", "早上八点开门晚上九点", "归还如有问题请到一楼")
    sheet = draw.Sheet(340, 600)
    for left, column in zip((250, 160, 70), columns, strict=True):
        for row, character in enumerate(column):
            sheet.write(left, 80 + 46 * row, character, 36)
    page = engines["openvino"].read(array(sheet.drawn("vertical")), ReadOptions(orient=orient))
    assert page.text == "\n".join(columns)
