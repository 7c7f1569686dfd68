"""The worker's side of decoding: send bytes to a killable process, receive pixels. Thread-safe."""

from __future__ import annotations

import signal
from dataclasses import asdict
from typing import Any

import numpy as np
from gevent.monkey import get_original

from app.decode.channel import Broken, Closed, Connection
from app.decode.host_process import HostGone, HostProcess
from app.decode.limits import DecodeBudget, DecodeLimits
from app.errors import Busy, OcrFailed, PictureTooLarge, PictureUnsupported, ServiceError
from app.model.reading import Picture

# Margin beyond a picture's wall time and its wait for another large picture. Later, the host counts as stuck.
ANSWERS_WITHIN_S = 2
TRIES = 2

_MEGABYTE = 1_000_000
# The worker's memory also holds the request's body and the picture in it.
_COPIES_IN_WORKER = 3
# A child decodes many files of these formats, because a new child costs as much as a small picture. The other
# formats' decoders have had more vulnerabilities, so each file gets a new child.
_USUAL = (b"\xff\xd8\xff", b"\x89PNG")
_REFUSALS = {kind.error: kind for kind in (PictureTooLarge, PictureUnsupported, Busy)}
_DECODING = "decode"


class DecodeHost:
    """Decodes pictures in another process within a budget of time and memory."""

    def __init__(self, limits: DecodeLimits, budget: DecodeBudget) -> None:
        self._limits = limits
        self._budget = budget
        self._lock = get_original("_thread", "allocate_lock")()
        self._process: HostProcess | None = None

    def start(self) -> None:
        """Start the process without waiting. A failed start is reported with the first picture."""
        with self._lock:
            self._process = self._process or HostProcess()

    def decode(self, data: bytes, *, enough_px: int | None = None) -> Picture:
        """The first frame, upright, as uint8 [height, width, 3], BGR.

        enough_px: a JPEG may be decoded at a reduced size whose longer side is at least this many pixels.
        Raises PictureTooLarge, PictureUnsupported, Busy, OcrFailed.
        """
        if len(data) > self._limits.max_picture_bytes:
            raise PictureTooLarge(f"{len(data)} bytes over {self._limits.max_picture_bytes}")
        for _ in range(TRIES):
            try:
                process = self._ready()
            except HostGone as error:
                why = str(error)
                continue
            try:
                return self._decoded_by(process, data, enough_px)
            except HostGone as error:
                why = str(error)
                self._drop(process)
        raise OcrFailed(f"the decode host has ended: {why}")

    def close(self) -> None:
        if self._process is not None:
            self._drop(self._process)

    def _ready(self) -> HostProcess:
        """The process, ready for jobs. Raises HostGone."""
        with self._lock:
            process = self._process = self._process or HostProcess()
            try:
                process.await_start()
            except HostGone:
                self._process = None
                process.end()
                raise
            return process

    def _drop(self, process: HostProcess) -> None:
        """End the process. The next picture starts another one."""
        with self._lock:
            if self._process is process:
                self._process = None
                process.end()

    def _decoded_by(self, process: HostProcess, data: bytes, enough_px: int | None) -> Picture:
        job = {
            "task": "picture",
            "enough_px": enough_px,
            "limits": asdict(self._limits),
            "large_pixels": self._budget.large_pixels,
            "cpu_s": self._budget.cpu_s,
            "wall_s": self._budget.wall_s,
            "memory_bytes": self._budget.memory_mb * _MEGABYTE,
            "held_bytes": _COPIES_IN_WORKER * len(data),
        }
        with process.child(reusable=data.startswith(_USUAL)) as child:
            connection = child.begin_job(2 * self._budget.wall_s + ANSWERS_WITHIN_S)
            try:
                connection.send(job, data)
                return self._received(connection)
            except Broken as error:
                raise PictureUnsupported(f"the decoder answered {error}", stage=_DECODING) from None
            except TimeoutError:
                process.kill()
                raise self._too_slow() from None
            except (Closed, OSError) as error:
                ending = child.ending()
                if ending is None:
                    raise HostGone(repr(error)) from None
                raise self._refusal(*ending) from None

    def _received(self, connection: Connection) -> Picture:
        """Receive the picture. Its sizes are checked again, because a hostile file may control the child."""
        about, _ = _answer(connection)
        rows, columns = _whole(about, "rows"), _whole(about, "columns")
        width, height, kind = _whole(about, "width"), _whole(about, "height"), about.get("format")
        limit = self._limits.max_picture_pixels
        if not (rows * columns <= width * height <= limit and isinstance(kind, str) and kind.isalnum()):
            raise Broken(f"{rows} x {columns} of {width} x {height}")
        image = np.empty((rows, columns, 3), np.uint8)
        left = image.data.cast("B")
        while left:
            _, size = _answer(connection)
            if not 0 < size <= len(left):
                raise Broken(f"{size} bytes of pixels")
            connection.receive_into(left[:size])
            left = left[size:]
        return Picture(image, width, height, kind)

    def _refusal(self, ended_by: int, status: int, cpu_s: float) -> ServiceError:
        """Why a child ended without its whole answer."""
        if ended_by in (signal.SIGPROF, signal.SIGXCPU):
            return PictureTooLarge(f"over {self._budget.cpu_s:g} s of CPU", stage=_DECODING)
        if ended_by == signal.SIGALRM:
            return self._too_slow()
        if ended_by == signal.SIGKILL:  # by the kernel when out of memory, or by the operator
            return PictureTooLarge("killed while decoding", stage=_DECODING)
        why = f"signal {ended_by}" if ended_by else f"exit status {status}"
        return PictureUnsupported(f"the decoder crashed: {why}, {cpu_s:.1f} s of CPU", stage=_DECODING)

    def _too_slow(self) -> PictureTooLarge:
        return PictureTooLarge(f"over {self._budget.wall_s:g} s", stage=_DECODING)


def _answer(connection: Connection) -> tuple[dict[str, Any], int]:
    """The next message. Raises Broken, Closed, OSError, and the ServiceError that the child reports."""
    header, size = connection.receive()
    if "error" not in header:
        return header, size
    kind = _REFUSALS.get(str(header["error"]))
    if kind is None:
        raise Broken(f"error {header['error']!r:.100}")
    stage = _DECODING if header.get("stage") == _DECODING else None
    raise kind(str(header.get("detail")), stage=stage, retry_after=1 if kind is Busy else None)


def _whole(about: dict[str, Any], name: str) -> int:
    value = about.get(name)
    if type(value) is not int or value < 1:
        raise Broken(f"{name} {value!r:.100}")
    return value
