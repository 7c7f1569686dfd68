"""The protocol between a worker and its decode host: a JSON header and a payload, over Unix sockets.

A request's `task` names the work; a response is any number of messages. gevent's sockets need an event loop,
so these are CPython's `_socket`: they block the calling native thread and release the GIL.
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
"""A child's socket, and the pipe on which the host reports how the child ended."""

ENDING = struct.Struct("<iid")
"""The report on that pipe: signal that ended the child (0: none), exit status, CPU time in seconds."""

_LENGTHS = struct.Struct("<IQ")
_SHORTEST_S = 0.001  # a timeout of 0 would make the socket non-blocking


class Closed(Exception):
    """The other side closed the connection within a message or before it."""


class Broken(Exception):
    """The received bytes are not a valid message."""


class Connection:
    """One end of a socket. seconds: time limit of the whole conversation; None is unlimited.

    Every method raises TimeoutError, and OSError if the other side has ended.
    """

    def __init__(self, end: socket, seconds: float | None = None) -> None:
        self._end = end
        self._give_up = None if seconds is None else time.monotonic() + seconds

    def send(self, header: Mapping[str, Any], payload: bytes = b"") -> None:
        text = json.dumps(header).encode()
        self._in_time().sendall(_LENGTHS.pack(len(text), len(payload)) + text)
        self._in_time().sendall(payload)

    def receive(self) -> tuple[dict[str, Any], int]:
        """The header of the next message, and its payload's size in bytes. Raises Closed, Broken."""
        length, size = _LENGTHS.unpack(self.receive_bytes(_LENGTHS.size))
        if length > MAX_HEADER_BYTES:
            raise Broken(f"a header of {length} bytes")
        try:
            header = json.loads(self.receive_bytes(length))
        except (ValueError, RecursionError) as error:
            raise Broken(repr(error)) from None
        if not isinstance(header, dict):
            raise Broken("a header that is not an object")
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
    """The descriptors of the next child; an empty list once the worker has closed its end."""
    descriptors = array("i")
    _, ancillary, _, _ = control.recvmsg(1, CMSG_LEN(FDS_PER_JOB * descriptors.itemsize))
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return list(descriptors)
