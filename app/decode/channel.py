"""How a worker and its decode host talk: messages of a JSON header and a payload, over Unix sockets.

Requests and answers are not tied to pictures: `task` names the work, and an answer is any number of messages.
gevent replaces `socket.socket`, whose calls then need a loop. The sockets here are CPython's own: they block,
and release the GIL meanwhile, in whatever thread they are used.
"""

from __future__ import annotations

import json
import struct
import time
from _socket import CMSG_LEN, SCM_RIGHTS, SOL_SOCKET, socket
from array import array
from collections.abc import Mapping
from typing import Any

MAX_HEADER_BYTES = 16 * 1024
FDS_PER_JOB = 2
"""Those of a job: its socket, and the pipe on which the host reports how the child ended."""

ENDING = struct.Struct("<iid")
"""On that pipe: the signal that ended the child or 0, its exit status, the seconds of CPU that it took."""

_LENGTHS = struct.Struct("<IQ")
_SHORTEST_S = 0.001  # 0 would be without waiting at all


class Closed(Exception):
    """The other side has ended before its message did."""


class Broken(Exception):
    """What came is no message."""


class Connection:
    """One end of a socket. seconds: how long all of the talk may take; None is without end.

    Every method raises TimeoutError, and OSError where the other side has ended.
    """

    def __init__(self, end: socket, seconds: float | None = None) -> None:
        self._end = end
        self._give_up = None if seconds is None else time.monotonic() + seconds

    def send(self, header: Mapping[str, Any], payload: bytes = b"") -> None:
        text = json.dumps(header).encode()
        self._in_time().sendall(_LENGTHS.pack(len(text), len(payload)) + text)
        self._in_time().sendall(payload)

    def receive(self) -> tuple[dict[str, Any], int]:
        """The header of the next message, and the size of the payload that follows. Raises Closed, Broken."""
        length, size = _LENGTHS.unpack(self.receive_bytes(_LENGTHS.size))
        if length > MAX_HEADER_BYTES:
            raise Broken(f"a header of {length} bytes")
        try:
            header = json.loads(self.receive_bytes(length))
        except (ValueError, RecursionError) as error:
            raise Broken(repr(error)) from None
        if not isinstance(header, dict):
            raise Broken("a header that is no object")
        return header, size

    def receive_bytes(self, size: int) -> bytearray:
        data = bytearray(size)
        self.receive_into(memoryview(data))
        return data

    def receive_into(self, buffer: memoryview) -> None:
        """Fill the buffer. Raises Closed."""
        while buffer:
            count = self._in_time().recv_into(buffer)
            if not count:
                raise Closed
            buffer = buffer[count:]

    def _in_time(self) -> socket:
        if self._give_up is not None:
            self._end.settimeout(max(_SHORTEST_S, self._give_up - time.monotonic()))
        return self._end


def send_descriptors(control: socket, *descriptors: int) -> None:
    control.sendmsg([b"."], [(SOL_SOCKET, SCM_RIGHTS, array("i", descriptors))])


def receive_descriptors(control: socket) -> list[int]:
    """Those of the next job; none once the worker has closed its end."""
    descriptors = array("i")
    _, ancillary, _, _ = control.recvmsg(1, CMSG_LEN(FDS_PER_JOB * descriptors.itemsize))
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return list(descriptors)
