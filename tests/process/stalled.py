"""Clients that connect and then do not go on: many at once, of every kind, held by one thread."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

HEAD = b"POST /ocr HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
MIB = 1024 * 1024
LOOPBACK = [f"127.0.0.{n}" for n in range(1, 251)]

KINDS: dict[str, tuple[bytes, bool]] = {
    "no byte": (b"", False),
    "half a head": (HEAD, False),
    "half a body": (HEAD + b"Content-Length: 100\r\n\r\n" + b"{" * 50, False),
    "half a large body": (HEAD + b"Content-Length: %d\r\n\r\n" % (13 * MIB) + b"{" * 5000, False),
    "half a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{", False),
    "a dripping head": (HEAD + b"X-Drip: ", True),
    "a dripping body": (HEAD + b"Content-Length: 100000\r\n\r\n{", True),
    "an idle connection": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", False),
}
"""What each sends at once, and whether it goes on with a byte a second."""


@contextmanager
def stalled(
    bind: str, count: int, sent: bytes, *, drips: bool = False, sources: Sequence[str] = LOOPBACK
) -> Iterator[list[socket.socket]]:
    """Hold so many connections, from the sources in turn. The server may close them."""
    host, port = bind.split(":")
    held: list[socket.socket] = []
    over = threading.Event()

    def drip() -> None:
        while not over.wait(1):
            for connection in list(held):
                with contextlib.suppress(OSError):
                    connection.send(b"a")

    source = itertools.cycle(sources)
    thread = threading.Thread(target=drip)
    try:
        for _ in range(count):
            connection = socket.socket()
            connection.bind((next(source), 0))
            connection.settimeout(20)
            connection.connect((host, int(port)))
            connection.setblocking(False)
            held.append(connection)
            with contextlib.suppress(OSError):
                connection.send(sent)
        if drips:
            thread.start()
        yield held
    finally:
        over.set()
        if drips:
            thread.join()
        for connection in held:
            connection.close()


def still_open(connections: list[socket.socket]) -> int:
    """How many of them the server has not closed."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLRDHUP)
    return len(connections) - len(poll.poll(0))
