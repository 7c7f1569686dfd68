"""A request's bytes, in turn with everybody else's, and whether its caller still waits."""

from __future__ import annotations

import binascii
import socket
import time

from flask import Request

from app.errors import BodyTooLarge, RequestMalformed

PIECE = 1024 * 1024
"""Of large bodies, so much is read or decoded before the others have a turn. Divides by 4, for base64."""

TURN_S = 0.001  # gevent's sleep(0) looks at no socket


def read_body(incoming: Request, max_body_bytes: int) -> bytearray:
    """The whole of it. A client that sends fast never lets the loop look at others. Raises BodyTooLarge."""
    body = bytearray()
    while piece := incoming.stream.read(PIECE):
        body += piece
        if len(body) > max_body_bytes:
            raise BodyTooLarge("in chunks")
        if len(body) > PIECE:
            time.sleep(TURN_S)
    return body


def decode_base64(text: str) -> bytes:
    """As it is written in JSON: base64 needs no escape, but PHP writes one before each slash.

    Raises RequestMalformed.
    """
    if "\\" in text:  # to look costs a tenth of a copy
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
    """Whether the peer has closed its end, be it for sending alone: usual clients close both."""
    if connection is None:
        return False
    patience = connection.gettimeout()
    try:
        connection.settimeout(0)
        return connection.recv(1, socket.MSG_PEEK) == b""
    except (BlockingIOError, ValueError):  # nothing yet; or TLS, which cannot be peeked into
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(patience)
