"""Strict message framing of RFC 9112, section 6: where the body of a response ends.

A response whose end is ambiguous is refused: http.client, urllib3 and int() each accept more than the grammar
allows ("5_0", "+5", "5, 5").
"""

from __future__ import annotations

import io
import re
from http.client import HTTPException, HTTPMessage
from typing import Any

MAX_CHUNK_LINE_BYTES = 4096
MAX_TRAILER_LINES = 100
MAX_CHUNKS = 100_000
"""A chunk of any size blocks the loop for some microseconds. Servers send chunks of 4 KB and more."""

_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?\r\n")
_STATUS = re.compile(rb"HTTP/1\.[0-9] [0-9]{3}( [^\r\n]*)?\r?\n")


class AmbiguousFraming(HTTPException):
    """Different HTTP readers would end the response, or one of its lines, at different places."""


class HeadLines(io.BufferedReader):
    """Refuses header lines with a bare CR or NUL. Raises AmbiguousFraming.

    Python's header parser ends a line at a bare CR, other readers do not: the rest is a header for one reader
    and part of a value for another.
    """

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if b"\r" in line.removesuffix(b"\r\n") or b"\0" in line:
            raise AmbiguousFraming("CR or NUL within a line")
        if line.startswith(b"HTTP/") and not _STATUS.fullmatch(line):
            raise AmbiguousFraming("malformed status line")
        return line


def is_chunked(headers: HTTPMessage, version: int) -> bool:
    """Whether the body is chunked. Otherwise Content-Length or the end of the connection ends it.

    version: 10 or 11. Raises AmbiguousFraming unless the headers have at most one Content-Length (digits
    only) or one Transfer-Encoding (exactly "chunked").
    """
    lengths = headers.get_all("Content-Length", [])
    codings = headers.get_all("Transfer-Encoding", [])
    if not all(_LENGTH.fullmatch(length.strip(" \t")) for length in lengths):
        raise AmbiguousFraming("Content-Length is not digits alone")
    if len(lengths) + len(codings) > 1:
        raise AmbiguousFraming("more than one Content-Length or Transfer-Encoding")
    if not codings:
        return False
    if version < 11 or codings[0].strip(" \t").lower() != "chunked":
        raise AmbiguousFraming("Transfer-Encoding other than chunked")
    return True


class Chunks(io.RawIOBase):
    """The data of a chunked body. Raises AmbiguousFraming if a size or an end is missing or malformed."""

    def __init__(self, source: io.BufferedReader) -> None:
        self._source = source
        self._left = 0
        self._chunks = 0
        self._over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left and not self._over:
            self._begin_chunk()
        if self._over:
            return 0
        count = self._source.readinto(memoryview(buffer)[: self._left])
        if not count:
            raise AmbiguousFraming("cut within a chunk")
        self._left -= count
        if not self._left and self._source.read(2) != b"\r\n":
            raise AmbiguousFraming("no CRLF after a chunk")
        return count

    def _begin_chunk(self) -> None:
        size = _CHUNK.fullmatch(self._source.readline(MAX_CHUNK_LINE_BYTES))
        if size is None:
            raise AmbiguousFraming("malformed chunk size")
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            raise HTTPException(f"over {MAX_CHUNKS} chunks")
        self._left = int(size[1], 16)
        self._over = not self._left
        if self._over:
            self._skip_trailers()

    def _skip_trailers(self) -> None:
        for _ in range(MAX_TRAILER_LINES):
            line = self._source.readline(MAX_CHUNK_LINE_BYTES)
            if line == b"\r\n":
                return
            if not line.endswith(b"\r\n"):
                break
        raise AmbiguousFraming("malformed trailers")

    def close(self) -> None:
        self._source.close()
        super().close()
