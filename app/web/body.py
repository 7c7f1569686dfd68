"""Reads a request's body without blocking others, and checks whether its caller is still connected."""

from __future__ import annotations

import binascii
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO

from flask import Request
from werkzeug.exceptions import HTTPException

from app.errors import BodyTooLarge, RequestMalformed, ServiceError
from app.web.budget import FREE_BYTES, UnprovenBody

PIECE = 1024 * 1024
"""Bytes of a large body that are processed before other requests get a turn; a multiple of 4, for base64."""

TURN_S = 0.001  # gevent's sleep(0) does not poll sockets

CHUNKED_PIECE = PIECE // 4
"""Bytes of a chunked body that are read at once: gunicorn and Werkzeug hold several copies of them."""

BUFFERED = 3 * PIECE
"""Bytes that those copies may hold."""

TimeLimit = Callable[[ServiceError], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class BodyReader:
    """time_limit(error) is a block that raises the error when reading a piece takes too long."""

    max_body_bytes: int
    time_limit: TimeLimit

    def check_length(self, incoming: Request) -> None:
        """Raises BodyTooLarge where Content-Length exceeds the limit."""
        if (incoming.content_length or 0) > self.max_body_bytes:
            raise BodyTooLarge(f"{incoming.content_length} bytes")

    def read(self, incoming: Request, unproven: UnprovenBody | None = None) -> bytearray:
        """The whole body. Raises BodyTooLarge, RateLimited, Busy, or RequestMalformed for a body that does
        not arrive in time, is cut off, or has malformed chunks.
        """
        length = incoming.content_length
        if unproven and length is not None and length > FREE_BYTES:
            unproven.reserve(length)
        body = bytearray()
        size = FREE_BYTES if length is None else min(PIECE, length)
        while len(body) != length and (piece := self._piece(incoming.stream, size)):
            body += piece
            if len(body) > self.max_body_bytes:
                raise BodyTooLarge("in chunks")
            if unproven and length is None and len(piece) == size:
                unproven.reserve(CHUNKED_PIECE if size == CHUNKED_PIECE else CHUNKED_PIECE + BUFFERED)
                size = CHUNKED_PIECE
            if len(body) > PIECE:  # a fast sender would never let the loop serve others
                time.sleep(TURN_S)
        return body

    def _piece(self, stream: IO[bytes], size: int) -> bytes:
        try:
            with self.time_limit(RequestMalformed("the body did not arrive in time")):
                return stream.read(size)
        except (ServiceError, HTTPException):
            raise
        except Exception as error:  # gunicorn's own exceptions, which app/ does not import
            raise RequestMalformed(f"{type(error).__name__} while reading the body") from error


def decode_base64(text: str) -> bytes:
    """text: as written in JSON. Base64 needs no escapes, but PHP writes one before each slash.

    Raises RequestMalformed.
    """
    if "\\" in text:  # the search costs a tenth of a copy
        text = text.replace("\\/", "/")
    if text.find("=", 0, len(text) - 2) >= 0:
        raise RequestMalformed("padding before the end", field="picture_base64")
    pieces = []
    try:
        for at in range(0, len(text), PIECE):
            pieces.append(binascii.a2b_base64(text[at : at + PIECE], strict_mode=True))
            if at:
                time.sleep(TURN_S)
    except ValueError as error:
        raise RequestMalformed(str(error), field="picture_base64") from error
    picture = b"".join(pieces)
    if len(picture) > PIECE:
        time.sleep(TURN_S)
    return picture


def hung_up(connection: socket.socket | None) -> bool:
    """Whether the peer has closed its end, even for sending alone: usual clients close both directions."""
    if connection is None:
        return False
    timeout_s = connection.gettimeout()
    try:
        connection.settimeout(0)
        return connection.recv(1, socket.MSG_PEEK) == b""
    except (BlockingIOError, ValueError):  # nothing received yet; or TLS, which has no MSG_PEEK
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(timeout_s)
