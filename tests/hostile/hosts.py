"""Picture hosts that misbehave: what each one does, by the path that asks for it."""

from __future__ import annotations

import gzip
import socket
import struct
import time
import zlib
from collections.abc import Callable

from tests.picture_host import Answer, endless, http, redirect, silence, slowly

MIB = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def reset(head: bytes) -> Answer:
    """Send that much, then break the connection off with a RST."""

    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return send


def then_silence(head: bytes) -> Answer:
    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        connection.recv(1)

    return send


def endless_gzip(member: Callable[[], bytes]) -> Answer:
    """Zeros without an end, a thousandth of their size on the wire."""
    return endless(OK + b"Content-Encoding: gzip\r\n\r\n", member())


def _zeros() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(bytes(64 * MIB)) + packer.flush(zlib.Z_SYNC_FLUSH)


def _nested() -> bytes:
    return gzip.compress(gzip.compress(bytes(200 * MIB), 9), 9)


ROWS: dict[str, Answer] = {
    "/404": http(404, b"<h1>not here</h1>"),
    "/500": http(500, b"oops"),
    "/204": http(204),
    "/206": http(206, b"part", "Content-Range: bytes 0-3/9"),
    "/304": http(304),
    "/401": http(401, b"", 'WWW-Authenticate: Basic realm="x"'),
    "/100-for-ever": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "/101": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
    "/status-0": b"HTTP/1.1 000 X\r\n\r\n",
    "/status-999999": b"HTTP/1.1 999999 X\r\n\r\n",
    "/empty": http(200),
    "/short": http(200, b"a" * 10, length=100),
    "/length-negative": OK + b"Content-Length: -5\r\n\r\nabc",
    "/length-twice": OK + b"Content-Length: 3\r\nContent-Length: 300\r\n\r\nabc",
    "/length-words": OK + b"Content-Length: many\r\n\r\nabc",
    "/length-huge": OK + b"Content-Length: 99999999999999999999\r\n\r\nabc",
    "/length-and-chunked": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nabc",
    "/no-http": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "/http-0.9": b"<html>as in 1991</html>",
    "/nothing": b"",
    "/closed-in-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "/nul-in-head": OK + b"X: \x00\x00\r\nContent-Length: 3\r\n\r\nabc",
    "/no-colon": OK + b"no colon here\r\nContent-Length: 3\r\n\r\nabc",
    "/endless-body": endless(OK + b"\r\n", b"a" * 65536),
    "/endless-chunks": endless(CHUNKED, b"8000\r\n" + b"a" * 0x8000 + b"\r\n"),
    "/endless-small-chunks": endless(CHUNKED, b"1\r\na\r\n" * 4096),
    "/endless-chunk-size": endless(CHUNKED, b"0" * 65536),
    "/endless-chunk-extension": endless(CHUNKED + b"5;", b"x" * 65536),
    "/endless-trailers": endless(CHUNKED + b"3\r\nabc\r\n0\r\n", b"X: y\r\n" * 4096),
    "/chunk-negative": CHUNKED + b"-5\r\nabc\r\n0\r\n\r\n",
    "/chunk-huge": CHUNKED + b"ffffffffffffffff\r\nabc",
    "/chunk-words": CHUNKED + b"many\r\nabc\r\n",
    "/chunk-cut": CHUNKED + b"a\r\nabc",
    "/endless-head": endless(OK, b"X-Header: " + b"a" * 1000 + b"\r\n"),
    "/endless-header-line": endless(OK + b"X: ", b"a" * 65536),
    "/endless-status-line": endless(b"HTTP/1.1 200 ", b"a" * 65536),
    "/thousand-headers": OK + b"".join(b"X-%d: y\r\n" % n for n in range(1000)) + b"\r\nabc",
    "/gzip-bomb": http(200, gzip.compress(bytes(200 * MIB), 9), "Content-Encoding: gzip"),
    "/gzip-nested": http(200, _nested(), "Content-Encoding: gzip, gzip"),
    "/gzip-endless": endless_gzip(_zeros),
    "/gzip-of-nothing": endless(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 1000),
    "/gzip-cut": http(200, gzip.compress(b"a" * 1000)[:-20], "Content-Encoding: gzip"),
    "/gzip-garbage": http(200, b"no gzip at all", "Content-Encoding: gzip"),
    "/deflate-bomb": http(200, zlib.compress(bytes(200 * MIB), 9), "Content-Encoding: deflate"),
    "/brotli": http(200, b"\x8b\x02\x80abc\x03", "Content-Encoding: br"),
    "/zstd": http(200, b"\x28\xb5\x2f\xfd", "Content-Encoding: zstd"),
    "/silence": silence,
    "/silence-in-head": then_silence(b"HTTP/1.1 200 OK\r\nX: "),
    "/silence-in-body": then_silence(OK + b"Content-Length: 1000\r\n\r\nabc"),
    "/silence-in-chunk": then_silence(CHUNKED + b"ff\r\nabc"),
    "/drip-head": slowly(OK + b"X: " + b"a" * 2000, every_s=0.1),
    "/drip-body": slowly(OK + b"Content-Length: 2000\r\n\r\n" + b"a" * 1900, every_s=0.1),
    "/drip-chunks": slowly(CHUNKED + b"1\r\na\r\n" * 2000, every_s=0.1),
    "/reset-at-once": reset(b""),
    "/reset-in-head": reset(b"HTTP/1.1 200 OK\r\nX: "),
    "/reset-in-body": reset(OK + b"Content-Length: 1000\r\n\r\nabc"),
    "/redirect-nowhere": redirect(""),
    "/redirect-without": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "/redirect-loop": redirect("/redirect-loop"),
    "/redirect-4": redirect("/redirect-3"),
    "/redirect-3": redirect("/redirect-2"),
    "/redirect-2": redirect("/redirect-1"),
    "/redirect-1": redirect("/redirect-0"),
    "/redirect-0": redirect("/ticket/1.png"),
    "/redirect-endless-body": endless(b"HTTP/1.1 302 Found\r\nLocation: /404\r\n\r\n", b"a" * 65536),
    "/redirect-garbage": redirect("http://[::1"),
    "/redirect-bytes": redirect("http://\xff\xfe/"),
    "/refresh": http(200, b"<meta http-equiv=refresh content='0;url=http://127.0.0.1/'>", "Refresh: 0; url=/404"),
    "/html": http(200, b"<!doctype html><title>no picture</title>", "Content-Type: image/jpeg"),
    "/json": http(200, b'{"error": 404}', "Content-Type: image/jpeg"),
    "/pdf": http(200, b"%PDF-1.7\n" + b"a" * 1000, "Content-Type: image/jpeg"),
    "/zip": http(200, b"PK\x03\x04" + bytes(100), "Content-Type: image/jpeg"),
    "/svg": http(200, b"<svg xmlns='http://www.w3.org/2000/svg'/>", "Content-Type: image/jpeg"),
    "/cookies": http(404, b"", *(f"Set-Cookie: a{n}=b; Domain=.test" for n in range(50))),
}  # fmt: skip

_RECORD = b"\x16\x03\x03\x40\x00"  # a piece of a TLS handshake, of 16 KiB
# What a host does instead of its part of the handshake, by its address.
TLS_FAULTS: dict[str, Answer] = {
    "93.184.217.101": silence,
    "93.184.217.102": reset(b""),
    "93.184.217.103": reset(_RECORD + b"\x02"),
    "93.184.217.104": slowly(_RECORD + b"\x02\x00\x3f\xfc" + b"\x03" * 2000, every_s=0.1),
    "93.184.217.105": then_silence(_RECORD),
    "93.184.217.106": http(200, b"plain text"),
    "93.184.217.107": endless(b"", _RECORD + b"\x02" * 0x4000),
    "93.184.217.108": endless(b"", b"\x15\x03\x03\x00\x02\x01\x00"),  # warnings
    "93.184.217.109": b"",
}

# All else is code 14.
CODES = {
    **dict.fromkeys(("/html", "/json", "/pdf", "/zip", "/svg", "/refresh"), {16}),
    **dict.fromkeys(
        ("/endless-body", "/endless-chunks", "/gzip-bomb", "/gzip-endless", "/length-huge"), {15}
    ),
    **dict.fromkeys(
        ("/endless-small-chunks", "/endless-trailers", "/endless-chunk-extension", "/gzip-of-nothing"),
        {14, 15, 16},
    ),
    **dict.fromkeys(
        ("/length-negative", "/length-words", "/length-twice", "/http-0.9", "/nul-in-head"), {14, 16}
    ),
    "/chunk-huge": {14, 15},
    **dict.fromkeys(("/redirect-2", "/redirect-1", "/redirect-0"), {6}),
    **dict.fromkeys(("/redirect-garbage", "/redirect-bytes"), {13, 14}),
}
SLOW = (
    "/silence",
    "/silence-in-head",
    "/silence-in-body",
    "/silence-in-chunk",
    "/drip-head",
    "/drip-body",
    "/drip-chunks",
)
