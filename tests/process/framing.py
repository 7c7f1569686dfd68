"""Bodies whose framing is broken, and the connection that carries them: for the tests and `make hostile`."""

from __future__ import annotations

import contextlib
import random
import re
import socket

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n"


def broken_chunks(chance: random.Random) -> dict[str, bytes]:
    """Bodies of a chunked request, by what is wrong with them. Sizes, data and letters are drawn."""
    size = chance.randrange(16, 4000)
    data = bytes(chance.choices(b"abcdefgh {}", k=size))
    digits = f"{size:x}"
    cut = chance.randrange(1, len(digits)) if len(digits) > 1 else 1
    good = b"%x\r\n%b\r\n" % (size, data)
    letters = "".join(chance.choices("ghijklmnopqrstuvwxyz", k=chance.randrange(1, 9)))
    sizes = {
        "an underscore in the size": f"{digits[:cut]}_{digits[cut:] or '0'}",
        "a prefix": f"0x{digits}",
        "a sign": chance.choice("+-") + digits,
        "letters": letters,
        "no size": "",
        "a blank before the size": " " + digits,
        "a blank after the size": digits + " ",
        "a point": f"{digits}.0",
        "other digits": "٣" * chance.randrange(1, 4),
        "a bare CR": digits + "\r",
        "an extension without a name": f"{digits};=" + letters,
        "an extension with a CR": f"{digits};a=\r" + letters,
        "an extension with a NUL": f"{digits};a=\0",
        "a long line": digits + ";" + "a" * chance.randrange(40_000, 80_000),
    }
    broken = {name: text.encode() + b"\r\n" + data + b"\r\n0\r\n\r\n" for name, text in sizes.items()}
    end = b"0\r\n"
    broken |= {
        "a size that ends with LF": digits.encode() + b"\n" + data + b"\r\n0\r\n\r\n",
        "no CRLF after the data": b"%x\r\n%b" % (size, data) + b"0\r\n\r\n",
        "more data than the size": b"%x\r\n%b" % (size - 1, data) + b"\r\n0\r\n\r\n",
        "another end after the data": b"%x\r\n%b" % (size, data)
        + letters.encode()[:2].ljust(2)
        + end
        + b"\r\n",
        "a negative chunk after a good one": good + b"-%x\r\n\r\n" % size,
        "a Content-Length trailer": good + end + b"Content-Length: %d\r\n\r\n" % size,
        "a Host trailer": good + end + b"Host: a\r\n\r\n",
        "a Transfer-Encoding trailer": good + end + b"Transfer-Encoding: chunked\r\n\r\n",
        "a trailer without a colon": good + end + letters.encode() + b"\r\n\r\n",
        "a folded trailer": good + end + b"A: b\r\n c\r\n\r\n",
        "a trailer with a blank in its name": good + end + b"A b: c\r\n\r\n",
        "a trailer that ends with LF": good + end + b"A: b\n\n",
        "a control character in a trailer": good + end + b"A: \x00\r\n\r\n",
        "endless trailers": good + end + b"A: b\r\n" * 200 + b"\r\n",
    }
    return broken


def cut_short(chance: random.Random) -> bytes:
    """A body in chunks that ends before its end."""
    size = chance.randrange(2, 4000)
    whole = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"a" * size)
    return whole[: chance.randrange(1, len(whole) - 1)]


def exchange(bind: str, sent: bytes, *, ends: bool = False, source: str = "127.0.0.1") -> bytes:
    """All that comes back until the server closes. ends: the client says that it sends no more."""
    host, port = bind.split(":")
    with socket.create_connection((host, int(port)), timeout=20, source_address=(source, 0)) as connection:
        answer = b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
    return answer


def chunked(route: str, body: bytes) -> bytes:
    """route: method and path."""
    head = (
        f"{route} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return head.encode() + body


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(answer)]
