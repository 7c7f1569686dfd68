"""The story of a request, on one page: authenticate, reserve, admit, fetch, read, record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self

from app.authenticate import nonce_ttl_s
from app.caller import CallerCheck
from app.errors import DependencyUnavailable, OcrFailed, ServiceError
from app.model import (
    RECOGNISED,
    Elapsed,
    Line,
    OcrAnswer,
    OcrRequest,
    Page,
    PictureInfo,
    Reading,
    ReadOptions,
    UsageRecord,
)
from app.ports import Admission, Clock, Engine, Fetcher, Offload, UsageLog

if TYPE_CHECKING:
    from app.picture.picture import Picture


# A JPEG is decoded to as few pixels as leave its longer side this many times as long as detection works on.
# Drawn pages of 70 to 140 lines were read as well at three times as whole; a margin is left for photographs.
DETAIL = 3


Watched = Callable[[str], AbstractContextManager[object]]


class Decode(Protocol):
    def __call__(self, data: bytes, *, enough_px: int) -> Picture: ...


@dataclass(frozen=True, slots=True)
class OcrService:
    caller: CallerCheck
    admission: Admission
    usage: UsageLog
    fetcher: Fetcher
    offload: Offload
    clock: Clock

    def handle(self, request: OcrRequest) -> OcrAnswer:
        """Read the picture of a signed request; only a picture that was read is charged.

        Raises ServiceError. Until the signature has proven the caller nothing is stored, and an overload
        answer comes before the nonce is spent, so that the same body can be sent again.
        """
        started = self.clock.monotonic()
        now = self.clock.now()
        ttl = nonce_ttl_s(request, now=now, policy=self.caller.policy)
        with self.caller.proven(request, now=now) as account:
            request.proven()
            with self.offload.reserve(request.deadline, request.gone, request.username) as place:
                quota = self.admission.admit(account, request, nonce_ttl_s=ttl)
                with self._failure_recorded(request, started):
                    data, fetch_ms = self._picture(request)
                    reading, queue_ms = place.read(data, request.options)
                elapsed = Elapsed(
                    queue_ms, fetch_ms, reading.decode_ms, reading.ocr_ms, self._ms_since(started)
                )
                self.usage.finish(_success(request, reading, elapsed))
        return OcrAnswer(request.request_id, reading, elapsed, quota, request.options.boxes)

    def _picture(self, request: OcrRequest) -> tuple[bytes, int]:
        if request.picture is not None:
            return request.picture(), 0
        started = self.clock.monotonic()
        url = request.picture_url or ""
        data = self.fetcher.fetch(url, username=request.username, deadline=request.deadline)
        return data, self._ms_since(started)

    @contextmanager
    def _failure_recorded(self, request: OcrRequest, started: float) -> Iterator[None]:
        """Whatever ends an admitted request is written down and gives its quota back, even the worker's end.

        A store that is down must not hide the first error; it closes the record later on its own.
        """
        try:
            yield
        except BaseException as error:
            code = error.status_code if isinstance(error, ServiceError) else OcrFailed.status_code
            elapsed = Elapsed(total=self._ms_since(started))
            with suppress(DependencyUnavailable):
                self.usage.finish(UsageRecord(request.request_id, request.username, code, elapsed))
            raise

    def _ms_since(self, started: float) -> int:
        return round((self.clock.monotonic() - started) * 1000)


@dataclass(frozen=True, slots=True)
class Reader:
    """What runs in the engine's thread: bytes -> array -> Page. Pure: no logging, no store, no request.

    side_limit: the engine's, for options that name none. watched: entered with the picture's digest while it
    is decoded and read; raises OcrFailed where that must not be tried again.
    """

    decode: Decode
    engine: Engine
    side_limit: int
    clock: Clock
    watched: Watched = nullcontext

    def __call__(self, data: bytes, options: ReadOptions) -> Reading:
        started = self.clock.monotonic()
        digest = hashlib.sha256(data).hexdigest()
        with self.watched(digest):
            picture = self.decode(data, enough_px=DETAIL * (options.side_limit or self.side_limit))
            decoded = self.clock.monotonic()
            page = _in_pixels_of(picture, self.engine.read(picture.image, options))
        done = self.clock.monotonic()
        info = PictureInfo(picture.width, picture.height, picture.format, digest)
        return Reading(page, info, round((decoded - started) * 1000), round((done - decoded) * 1000))

    def warm_up(self) -> None:
        self.engine.warm_up()

    def checked(self, data: bytes, text: str) -> Self:
        """This reader, once it has found the known text in a picture of ours, refused or not: else no worker
        would start after a caller had sent that one at the wrong time."""
        found = replace(self, watched=nullcontext)(data, ReadOptions()).page.text
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


def _success(request: OcrRequest, reading: Reading, elapsed: Elapsed) -> UsageRecord:
    lines = reading.page.lines
    return UsageRecord(
        request_id=request.request_id,
        username=request.username,
        status_code=RECOGNISED,
        elapsed=elapsed,
        picture=reading.picture,
        lines=len(lines),
        characters=sum(len(line.text) for line in lines),
        text=reading.page.text,
    )
