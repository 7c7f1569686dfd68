"""Bytes -> text with boxes: the answer is in pixels of the picture that was sent, however it was decoded."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest
from PIL import Image

from app.decode.pictures import decode
from app.engine.reader import DECODE_MARGIN, Reader
from app.errors import OcrFailed
from app.model.reading import Line, Page, ReadOptions
from app.system.clock import SystemClock
from tests.unit.test_decode import LIMITS

if TYPE_CHECKING:
    from app.ports import Image as Pixels

SIZE = (2403, 1205)
INK = (700, 300, 1904, 402)  # left, top, right, bottom


class InkFinder:
    """Finds the one dark rectangle."""

    model = runtime = "ink"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def read(self, image: Pixels, options: ReadOptions) -> Page:
        self.shapes.append(image.shape)
        rows, columns = np.nonzero(image[:, :, 0] < 128)
        left, top, right, bottom = (
            int(n) for n in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        )
        return Page((Line("ink", 1.0, ((left, top), (right, top), (right, bottom), (left, bottom))),), "ink")

    def warm_up(self) -> None: ...


def photograph(kind: str = "JPEG", orientation: int = 1) -> bytes:
    picture = Image.new("RGB", SIZE, "white")
    picture.paste("black", INK)
    if orientation == 6:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    exif, file = Image.Exif(), BytesIO()
    exif[0x0112] = orientation
    picture.save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("side_limit", "asked", "fraction"),
    [(960, None, 1), (400, None, 2), (200, None, 4), (64, None, 8), (64, 960, 1), (960, 400, 2)],
)
def test_boxes_are_in_pixels_of_the_whole_picture(
    side_limit: int, asked: int | None, fraction: int, orientation: int
) -> None:
    """asked: the request's own side_limit, which counts instead of the service's."""
    engine = InkFinder()
    reader = Reader(partial(decode, limits=LIMITS), engine, side_limit, SystemClock())
    reading = reader(photograph(orientation=orientation), ReadOptions(side_limit=asked))
    [(rows, columns, _)] = engine.shapes
    assert (columns, rows) == (-(-SIZE[0] // fraction), -(-SIZE[1] // fraction))
    assert columns >= DECODE_MARGIN * (asked or side_limit) or fraction == 1
    assert (reading.picture.width, reading.picture.height) == SIZE
    (left, top), _, (right, bottom), _ = reading.page.lines[0].box
    assert np.abs(np.array([left, top, right, bottom]) - INK).max() <= fraction


def test_other_formats_are_read_whole() -> None:
    engine = InkFinder()
    reading = Reader(partial(decode, limits=LIMITS), engine, 64, SystemClock())(
        photograph("PNG"), ReadOptions()
    )
    assert engine.shapes == [(SIZE[1], SIZE[0], 3)]
    assert reading.page.lines[0].box == ((700, 300), (1904, 300), (1904, 402), (700, 402))


def test_a_worker_starts_though_its_own_picture_is_refused_to_callers() -> None:
    def refused(digest: str) -> NoReturn:
        raise OcrFailed(digest)

    reader = Reader(partial(decode, limits=LIMITS), InkFinder(), 960, SystemClock(), refused)
    checked = reader.checked(photograph(), "ink")
    with pytest.raises(OcrFailed):
        checked(photograph(), ReadOptions())
    with pytest.raises(RuntimeError, match="instead of 'paper'"):
        reader.checked(photograph(), "paper")
