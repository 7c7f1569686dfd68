"""Boxes come back where words were drawn: in the pixels of the picture as a person sees it upright."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.engine.reader import Reader
from app.model.reading import Page, ReadOptions
from app.system.clock import SystemClock
from app.wiring.engine import build_reader
from config.settings import EngineSettings, Settings
from samples import draw

WORDS = ("Spruce 2468", "Green Tea", "Books 57", "75.20 CNY", "Half past six", "Anna Example")
UPRIGHT = ReadOptions(orient=True)

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Words:
    """Words at known places on a page.

    size: of their font, in pixels. corners: where each is, [4, 2], clockwise from where it begins.
    """

    image: Image.Image
    size: float
    corners: dict[str, Points]

    def moved(self, image: Image.Image, where: Callable[[Points], Points], factor: float = 1) -> Words:
        return Words(image, self.size * factor, {word: where(at) for word, at in self.corners.items()})

    def scaled(self, factor: float) -> Words:
        size = (round(self.image.width * factor), round(self.image.height * factor))
        ratio = np.array(size) / self.image.size
        return self.moved(self.image.resize(size, Image.Resampling.LANCZOS), lambda at: at * ratio, factor)

    def turned(self, degrees: int) -> Words:
        """Against the clock, about the middle of the picture, which grows to hold it."""
        image = self.image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        middle, new_middle = np.array(self.image.size) / 2, np.array(image.size) / 2
        return self.moved(image, lambda at: (at - middle) @ np.array([[c, -s], [s, c]]) + new_middle)

    def padded(self, left: int, top: int, right: int, bottom: int) -> Words:
        size = (self.image.width + left + right, self.image.height + top + bottom)
        image = Image.new("RGB", size, "white")
        image.paste(self.image, (left, top))
        return self.moved(image, lambda at: at + np.array([left, top]))


def words(size: int = 32, *, width: int = 701, height: int = 437) -> Words:
    """An odd size, and words at odd places."""
    sheet = draw.Sheet(width, height)
    corners = {}
    for i, word in enumerate(WORDS):
        x, y = 23 + i % 2 * width // 2, 61 + i // 2 * height // 3 + i % 2 * 17
        sheet.write(x, y, word, size)
        left, top, right, bottom = sheet.pen.textbbox((x, y), word, draw.font(size), anchor="ls")
        corners[word] = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    return Words(sheet.image, size, corners)


def assert_in_place(page: Page, drawn: Words) -> None:
    """Boxes are wider than their words, by less than a third of the font's size, about the same middle."""
    found = {line.text: np.array(line.box, float) for line in page.lines}
    assert found.keys() == drawn.corners.keys()
    for word, corners in drawn.corners.items():
        assert np.abs(found[word] - corners).max() <= 2 + drawn.size / 3, word
        assert np.abs((found[word] - corners).mean(axis=0)).max() <= 1 + drawn.size / 8, word


@pytest.fixture(scope="module")
def reader(models_dir: Path) -> Reader:
    return build_reader(Settings(engine=EngineSettings(models_dir=models_dir)), SystemClock())


def sent(image: Image.Image, *, exif_orientation: int = 1, kind: str = "PNG") -> bytes:
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = exif_orientation
    image.save(out, kind, exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("options", [ReadOptions(), UPRIGHT], ids=["as-it-lies", "orient"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 4, -7, 94])
def test_pages_that_lie(reader: Reader, degrees: int, options: ReadOptions) -> None:
    """Corners begin where the text does, so they go round with it."""
    drawn = words().turned(degrees)
    assert_in_place(reader(sent(drawn.image), options).page, drawn)


@pytest.mark.parametrize(
    ("orientation", "unturn"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_pictures_that_exif_turns(reader: Reader, orientation: int, unturn: Image.Transpose) -> None:
    drawn = words()
    reading = reader(sent(drawn.image.transpose(unturn), exif_orientation=orientation), ReadOptions())
    assert (reading.picture.width, reading.picture.height) == drawn.image.size
    assert_in_place(reading.page, drawn)


def test_a_page_that_lies_although_exif_has_turned_it(reader: Reader) -> None:
    drawn = words().turned(90)
    stored = drawn.image.transpose(Image.Transpose.ROTATE_90)
    assert_in_place(reader(sent(stored, exif_orientation=6), UPRIGHT).page, drawn)


@pytest.mark.parametrize(("factor", "degrees"), [(1.9, 0), (3.3, 90), (7.1, 270)])
def test_large_photographs(reader: Reader, factor: float, degrees: int) -> None:
    """Shrunk for detection, and decoded to a half or less."""
    drawn = words().turned(degrees).scaled(factor)
    reading = reader(sent(drawn.image, kind="JPEG"), UPRIGHT)
    assert (reading.picture.width, reading.picture.height) == drawn.image.size
    assert_in_place(reading.page, drawn)


@pytest.mark.parametrize(("size", "degrees"), [(8, 0), (8, 270), (11, 180), (14, 90)])
def test_small_text(reader: Reader, size: int, degrees: int) -> None:
    """The smallest is looked at again, enlarged."""
    drawn = words(size, width=301, height=247).turned(degrees)
    assert_in_place(reader(sent(drawn.image), UPRIGHT).page, drawn)


@pytest.mark.parametrize("side_limit", [500, 640, 1600])
def test_any_side_limit(reader: Reader, side_limit: int) -> None:
    drawn = words(width=1003, height=613).scaled(1.3)
    assert_in_place(reader(sent(drawn.image), ReadOptions(side_limit=side_limit)).page, drawn)


@pytest.mark.parametrize("border", [(1, 7, 5, 31), (13, 2, 64, 33), (0, 40, 0, 1)])
def test_any_odd_size(reader: Reader, border: tuple[int, int, int, int]) -> None:
    drawn = words().padded(*border)
    assert_in_place(reader(sent(drawn.image), ReadOptions()).page, drawn)
