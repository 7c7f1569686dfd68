"""The decode host: decodes untrusted files for one worker, each in a child process that may be killed.

The host starts with an empty environment and only its end of the control socket. It imports the decoders,
drops its privileges (app/decode/sandbox.py) and forks children, so that replacing a killed child is cheap. It
ends when the worker closes the socket or dies. Its children die with it.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import time
import traceback
from _socket import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

# Set before the decoders are imported; the service starts the host with an empty environment.
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # unshare(CLONE_NEWUSER) fails in a process with threads
# A TIFF may contain progressive JPEGs, whose scans tiff_header.py does not count.
os.environ["LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER"] = "20"

import PIL.ImageCms
import PIL.ImageOps  # noqa: F401  Pillow imports both on demand, which fails after the chroot

from app.decode.channel import ENDING, Closed, Connection, receive_descriptors
from app.decode.limits import DecodeLimits
from app.decode.pictures import load, open_picture, refusals
from app.decode.sandbox import Meter, die_with, isolate, mapped_bytes
from app.errors import Busy, ServiceError
from app.system.memory import keep_small_blocks

_CONTROL, _LARGE = 0, 3  # descriptors
_LOOK_AGAIN_S = 0.01
# Pillow takes four bytes per pixel: pictures of up to two megapixels reuse the previous picture's pages.
_KEPT_BLOCK_BYTES = 8 * 1024 * 1024
# These signals are meant for the worker, which finishes its requests and still needs the host.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
Answer = tuple[Mapping[str, Any], bytes]
"""One message of a response: header and payload."""


def main() -> None:
    """Serve until the worker closes the control socket, which is descriptor 0."""
    os.closerange(_LARGE, os.sysconf("SC_OPEN_MAX"))
    control = socket(fileno=_CONTROL)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    try:
        os.dup2(os.memfd_create("large pictures"), _LARGE)
        idle_bytes = mapped_bytes()
        Connection(control).send({"left": isolate()})
    except Exception:
        Connection(control).send({"failed": traceback.format_exc(limit=-3)})
        return
    gc.collect()
    gc.freeze()
    Host(control, idle_bytes).serve()


class Host:
    """Forks children, kills a child when the worker closes its pipe, and reports how each child ended."""

    def __init__(self, control: socket, idle_bytes: int) -> None:
        self._control = control
        self._idle_bytes = idle_bytes
        self._pid = os.getpid()
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        self._by_ending: dict[int, _Child] = {}
        self._by_pidfd: dict[int, _Child] = {}

    def serve(self) -> None:
        while True:
            # Descriptor 0 last: a new child must not reuse a descriptor number with a pending event.
            for descriptor, _ in sorted(self._poll.poll(), reverse=True):
                if descriptor == _CONTROL:
                    if not self._begin():
                        return
                elif child := self._by_pidfd.get(descriptor):
                    self._report(child)
                elif child := self._by_ending.get(descriptor):  # the worker has closed the pipe
                    self._forget(child.ending)
                    signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _begin(self) -> bool:
        """Fork a child for the next socket; False once the worker has closed the control socket."""
        descriptors = receive_descriptors(self._control)
        if not descriptors:
            return False
        connection, ending = descriptors
        pid = os.fork()
        if pid == 0:
            _work_and_exit(connection, self._pid, self._idle_bytes)
        os.close(connection)
        child = _Child(pid, os.pidfd_open(pid), ending)
        self._by_pidfd[child.pidfd] = self._by_ending[ending] = child
        self._poll.register(child.pidfd, select.POLLIN)
        self._poll.register(ending, 0)  # errors only
        return True

    def _report(self, child: _Child) -> None:
        _, status, usage = os.wait4(child.pid, 0)
        ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        report = ENDING.pack(ended_by, os.WEXITSTATUS(status), usage.ru_utime + usage.ru_stime)
        with suppress(BrokenPipeError):
            os.write(child.ending, report)
        for descriptor in (child.ending, child.pidfd):
            self._forget(descriptor)
            os.close(descriptor)
        del self._by_pidfd[child.pidfd], self._by_ending[child.ending]

    def _forget(self, descriptor: int) -> None:
        with suppress(KeyError):
            self._poll.unregister(descriptor)


@dataclass(frozen=True, slots=True)
class _Child:
    """pidfd: readable once the child has ended. ending: pipe for the report, in error without a reader."""

    pid: int
    pidfd: int
    ending: int


def _work_and_exit(descriptor: int, parent: int, idle_bytes: int) -> NoReturn:
    try:
        die_with(parent)
        keep_small_blocks(_KEPT_BLOCK_BYTES)
        os.dup2(descriptor, _CONTROL)
        os.closerange(_LARGE + 1, os.sysconf("SC_OPEN_MAX"))
        connection = Connection(socket(fileno=_CONTROL))
        while _work(connection, idle_bytes):
            pass
        os._exit(0)
    finally:
        os._exit(1)


def _work(connection: Connection, idle_bytes: int) -> bool:
    """Receive one job and send its result or its error; False if this child takes no further job."""
    try:
        job, size = connection.receive()
    except Closed:
        return False
    data = bytes(connection.receive_bytes(size))
    meter = Meter(cpu_s=job["cpu_s"], memory_bytes=job["memory_bytes"], idle_bytes=idle_bytes)
    try:
        with refusals():
            for header, payload in TASKS[job["task"]](data, job, meter):
                connection.send(header, payload)
    except ServiceError as error:
        connection.send({"error": error.error, "detail": error.detail, "stage": error.stage})
        return False
    meter.stop()
    return True


def _picture(data: bytes, job: Mapping[str, Any], meter: Meter) -> Iterator[Answer]:
    """Yield the picture's size and format, then its pixels in strips."""
    meter.end_after(job["wall_s"])
    left = job["held_bytes"] + job["memory_bytes"] // 2
    meter.leave(left)

    def make_room(pixels: int) -> None:
        """Give a large picture the other half of the memory, once no other large picture is decoded."""
        nonlocal left
        if pixels > job["large_pixels"]:
            meter.end_after(0)
            _await_turn(job["wall_s"])
            meter.end_after(job["wall_s"])
            left = job["held_bytes"]
            meter.leave(left)

    loaded = load(open_picture(data, DecodeLimits(**job["limits"]), make_room), job["enough_px"])
    rows, columns = loaded.strips.rows, loaded.strips.columns
    meter.leave(left + rows * columns * 3)
    about = {"width": loaded.width, "height": loaded.height, "format": loaded.format}
    yield about | {"rows": rows, "columns": columns}, b""
    for strip in loaded.strips:
        yield {}, strip
    fcntl.lockf(_LARGE, fcntl.LOCK_UN)


def _await_turn(longest_s: float) -> None:
    """Lock out other large pictures until this process unlocks or ends. Raises Busy after longest_s."""
    give_up = time.monotonic() + longest_s
    while True:
        try:
            fcntl.lockf(_LARGE, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise Busy("other large pictures are being decoded") from None
            time.sleep(_LOOK_AGAIN_S)
        else:
            return


TASKS: Mapping[str, Callable[[bytes, Mapping[str, Any], Meter], Iterator[Answer]]] = MappingProxyType(
    {"picture": _picture}
)
