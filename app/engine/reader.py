"""A picture's bytes -> its page: what runs in a thread of the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol, Self

from app.model.reading import Line, Page, Picture, PictureInfo, ReadOptions, ReadResult
from app.ports import Clock, Engine

# A JPEG is decoded to as few pixels as leave its longer side this many times as long as detection works on.
# Drawn pages of 70 to 140 lines were read as well at three times as whole; a margin is left for photographs.
DECODE_MARGIN = 3


CrashGuard = Callable[[str], AbstractContextManager[object]]


class Decode(Protocol):
    def __call__(self, data: bytes, *, enough_px: int) -> Picture: ...


@dataclass(frozen=True, slots=True)
class Reader:
    """What runs in the engine's thread: bytes -> array -> Page. Pure: no logging, no store, no request.

    side_limit: the engine's, for options that name none. crash_guard: entered with the picture's digest while
    the picture is decoded and read; raises OcrFailed where that must not be tried again.
    """

    decode: Decode
    engine: Engine
    side_limit: int
    clock: Clock
    crash_guard: CrashGuard = nullcontext

    def __call__(self, data: bytes, options: ReadOptions) -> ReadResult:
        started = self.clock.monotonic()
        digest = hashlib.sha256(data).hexdigest()
        with self.crash_guard(digest):
            picture = self.decode(data, enough_px=DECODE_MARGIN * (options.side_limit or self.side_limit))
            decoded = self.clock.monotonic()
            page = _in_pixels_of(picture, self.engine.read(picture.image, options))
        done = self.clock.monotonic()
        info = PictureInfo(picture.width, picture.height, picture.format, digest)
        return ReadResult(page, info, round((decoded - started) * 1000), round((done - decoded) * 1000))

    def warm_up(self) -> None:
        self.engine.warm_up()

    def checked(self, data: bytes, text: str) -> Self:
        """This reader, once it has found the known text in a picture of ours, refused or not: else no worker
        would start after a caller had sent that one at the wrong time."""
        found = replace(self, crash_guard=nullcontext)(data, ReadOptions()).page.text
        if found != text:
            raise RuntimeError(f"the engine read {found!r} in its built-in picture instead of {text!r}")
        return self


def _in_pixels_of(picture: Picture, page: Page) -> Page:
    """The page with the boxes where they are in the whole picture, though it was read as a smaller one."""
    rows, columns = picture.image.shape[:2]
    if (columns, rows) == (picture.width, picture.height):
        return page
    x, y = picture.width / columns, picture.height / rows

    def whole(line: Line) -> Line:
        a, b, c, d = ((round(point[0] * x), round(point[1] * y)) for point in line.box)
        return replace(line, box=(a, b, c, d))

    return replace(page, lines=tuple(map(whole, page.lines)))
