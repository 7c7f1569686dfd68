"""One connection to a picture host, with limits on time and bytes that hold for every reader."""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPException, HTTPResponse
from typing import Any, Protocol

from app.errors import PictureTooLarge, PictureUnreachable, PictureUrlNotAllowed
from app.fetch.dial import Dialler, seconds_left
from app.fetch.framing import Chunks, HeadLines, is_chunked
from app.fetch.url import Target

MAX_HEAD_BYTES = 64 * 1024
# gevent switches only when a read waits. A host that always has bytes ready would block the loop while its
# one-byte chunks or empty gzip members are parsed.
MAX_STRETCH_S = 0.01
PAUSE_S = 0.001  # gevent's sleep(0) does not poll sockets


class Closeable(Protocol):
    def close(self) -> None: ...


class FetchConnection:
    """One connection: its permitted target, its remaining time and bytes, and the stage it has reached.

    deadline: on the monotonic clock, in seconds. stage: connect, tls, http or body.
    """

    def __init__(
        self, dialler: Dialler, target: Target, deadline: float, read_timeout_s: float, max_picture_bytes: int
    ) -> None:
        self.stage = "connect"
        self.opened: list[Closeable] = []
        self._dialler = dialler
        self._target = target
        self._deadline = deadline
        self._read_timeout_s = read_timeout_s
        self._bytes_left = MAX_HEAD_BYTES
        # Twice the limit leaves room for chunk sizes and gzip headers; the fetcher counts the picture itself.
        self._body_bytes = 2 * max_picture_bytes

    def dial(self, host: str, port: int) -> socket.socket:
        if (host, port) != (self._target.host, self._target.port):
            raise PictureUrlNotAllowed(f"permitted {self._target.host}, but asked to dial {host!r:.100}")
        sock = self._dialler.dial(host, port, self._deadline)
        sock.settimeout(self.read_timeout())
        self.stage = "tls"
        return sock

    def read_timeout(self) -> float:
        """Maximum seconds for the next read. Raises PictureUnreachable after the deadline."""
        return min(self._read_timeout_s, seconds_left(self._dialler.clock, self._deadline))

    def head_read(self) -> None:
        self.stage = "body"
        self._bytes_left = self._body_bytes

    def consume(self, count: int) -> None:
        """Limit received bytes, including endless headers, interim responses and empty gzip members.

        Raises PictureTooLarge, PictureUnreachable.
        """
        self._bytes_left -= count
        if self._bytes_left < 0 and self.stage == "body":
            raise PictureTooLarge("over twice the limit on the wire")
        if self._bytes_left < 0:
            raise PictureUnreachable(f"head over {MAX_HEAD_BYTES} bytes", stage="http")


class _BoundedReads(io.RawIOBase):
    """The receiving end of a connection, through which every byte of a response passes.

    So a host that sends one byte per second is also cut off within a header or a chunk.
    """

    def __init__(self, connection: FetchConnection, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._connection = connection
        self._sock = sock
        self._raw = raw
        self._parsing_s = 0.0
        self._returned = time.monotonic()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._give_way()
        self._sock.settimeout(self._connection.read_timeout())
        count = self._raw.readinto(buffer)
        self._connection.consume(count or 0)
        self._returned = time.monotonic()
        return count

    def _give_way(self) -> None:
        """Let the loop run if parsing has taken MAX_STRETCH_S since it last ran."""
        self._parsing_s += time.monotonic() - self._returned
        if self._parsing_s > MAX_STRETCH_S:
            time.sleep(PAUSE_S)
            self._parsing_s = 0.0

    def close(self) -> None:
        self._raw.close()
        super().close()


class BoundedResponse(HTTPResponse):
    def __init__(self, connection: FetchConnection, sock: socket.socket, **options: Any) -> None:
        super().__init__(sock, **options)
        self._connection = connection
        self.fp = HeadLines(_BoundedReads(connection, sock, self.fp.detach()))
        connection.opened.append(self)

    def begin(self) -> None:
        super().begin()
        if self.headers.defects:
            # urllib3 would log a warning with the whole URL, whose query may contain a secret.
            raise HTTPException("malformed header")
        self._connection.head_read()
        if is_chunked(self.headers, self.version):
            # http.client and urllib3 then see a body without chunks that ends with the connection.
            self.fp = io.BufferedReader(Chunks(self.fp))
            self.chunked, self.will_close = False, True
            del self.headers["Transfer-Encoding"]
