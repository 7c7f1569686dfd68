"""The decode host: decodes strangers' files for one worker, each in a child process that may be killed.

It is started with an empty environment and no descriptors but its end of the control socket. It imports the
decoders, gives up what it can (app/decode/sandbox.py), and forks, so that a killed child costs no new start.
It ends when the worker closes its end, in whatever way the worker ends. Its children die with it.
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

# Before the decoders are imported. The service starts the host with an empty environment.
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process with threads may not leave its user namespace
# A TIFF may hold progressive JPEGs, whose scans no header of its own counts.
os.environ["LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER"] = "20"

import PIL.ImageCms
import PIL.ImageOps  # noqa: F401  Pillow imports both where it needs them, and then finds no files any more

from app.decode.channel import ENDING, Closed, Connection, receive_descriptors
from app.decode.limits import DecodeLimits
from app.decode.pictures import load, open_picture, refusals
from app.decode.sandbox import Meter, die_with, isolate, mapped_bytes
from app.errors import Busy, ServiceError
from app.system.memory import keep_small_blocks

_CONTROL, _LARGE = 0, 3  # descriptors
_LOOK_AGAIN_S = 0.01
# Pillow keeps four bytes a pixel: a picture of two megapixels finds the pages of the one before.
_KEPT_BLOCK_BYTES = 8 * 1024 * 1024
# Meant for the worker, which goes on until its requests are done.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
Answer = tuple[Mapping[str, Any], bytes]
"""A header and a payload."""


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
    """Forks children, kills one when the worker has closed its end, and reports how each ended."""

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
            # Descriptor 0 last: a new child must not get the number of one that has an event left.
            for descriptor, _ in sorted(self._poll.poll(), reverse=True):
                if descriptor == _CONTROL:
                    if not self._begin():
                        return
                elif child := self._by_pidfd.get(descriptor):
                    self._report(child)
                elif child := self._by_ending.get(descriptor):  # the worker has closed its end
                    self._forget(child.ending)
                    signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _begin(self) -> bool:
        """Fork for the next socket; False if there will be none."""
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
        self._poll.register(ending, 0)  # errors alone
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
    """pidfd: readable once it has ended. ending: where to report how; in error once nobody reads that."""

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
    """Receive one job and send its answers, or the error that ended it; False if there will be no other."""
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
    """The size and format of the decoded picture, then its pixels, strip by strip."""
    meter.end_after(job["wall_s"])
    left = job["held_bytes"] + job["memory_bytes"] // 2
    meter.leave(left)

    def make_room(pixels: int) -> None:
        """A large picture gets the other half of the memory as well, once no other large one is decoded."""
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
    """Lock out other large pictures; the kernel unlocks when this process ends. Raises Busy."""
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
