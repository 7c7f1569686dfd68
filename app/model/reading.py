"""What to read of a picture and how, and what was read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from app.model.account import Quota

if TYPE_CHECKING:
    from app.ports import Image

CharsetName = Literal["full", "latin", "digits", "chinese+latin"]
"""Sets of characters that a caller may restrict recognition to."""

Point = tuple[int, int]
Quad = tuple[Point, Point, Point, Point]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a caller may choose for one picture.

    min_score: leave out lines with a lower mean character probability (0-1).
    side_limit: longest side in pixels that detection works on; None is the service's default, which is raised
    for small text. charset: characters that may be recognised; None is the service's default.
    orient: detect a page that lies on its side or upside down, which takes longer.
    """

    boxes: bool = True
    min_score: float = 0.5
    side_limit: int | None = None
    charset: CharsetName | None = None
    orient: bool = False


@dataclass(frozen=True, slots=True)
class ReadOrder:
    """What is to be done: which picture to read, how, and until when.

    picture_url: None where the picture came with the request.
    deadline: on the monotonic clock, in seconds.
    """

    picture_url: str | None
    deadline: float
    options: ReadOptions = ReadOptions()


@dataclass(frozen=True, slots=True)
class Line:
    """One recognised line: its text, mean character probability (0-1) and quadrilateral.

    box: pixels of the upright picture, clockwise from the corner where the text begins.
    """

    text: str
    score: float
    box: Quad


@dataclass(frozen=True, slots=True)
class Page:
    """The lines of one picture in reading order, and the name of the model that read them.

    detection_ms, recognition_ms: how long each took; None where the engine does not separate them. Pages are
    compared without these times.
    """

    lines: tuple[Line, ...]
    model: str
    detection_ms: int | None = field(default=None, compare=False)
    recognition_ms: int | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """The picture that was read: upright size in pixels, container format, SHA-256 of the bytes in hex."""

    width: int
    height: int
    format: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a read returns from the engine's thread: the page, the picture, and how long each took (ms)."""

    page: Page
    picture: PictureInfo
    decode_ms: int
    ocr_ms: int


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Milliseconds spent waiting for the engine, fetching, decoding and reading; total: the whole request."""

    queue: int = 0
    fetch: int = 0
    decode: int = 0
    ocr: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class OcrAnswer:
    """A success in the terms of the contract."""

    request_id: str
    reading: ReadResult
    elapsed: Elapsed
    quota: Quota
    boxes: bool = True


@dataclass(frozen=True, slots=True)
class Picture:
    """image: uint8 [rows, columns, 3], BGR, upright; full size, or scaled to 1/2, 1/4 or 1/8 of each side.

    width, height: of the full picture, upright. format: the container, such as JPEG.
    """

    image: Image
    width: int
    height: int
    format: str
