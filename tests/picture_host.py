"""A picture host on loopback that can misbehave in every way: real sockets, one thread a connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping

Answer = bytes | Callable[[socket.socket], None]


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def http(status: int = 200, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """A whole answer. length: what Content-Length claims, where that is not the truth."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def redirect(location: str, status: int = 302) -> bytes:
    return http(status, b"", f"Location: {location}")


def endless(head: bytes, block: bytes) -> Answer:
    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(block)

    return send


def slowly(data: bytes, *, every_s: float) -> Answer:
    def send(connection: socket.socket) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(every_s)

    return send


def silence(connection: socket.socket) -> None:
    connection.recv(1)


class PictureHost:
    """answers: by path; anything else is a 404. heads: what each request sent, as it came.

    Use it as a context manager: leaving it closes every connection and waits for the threads.
    """

    def __init__(
        self,
        answers: Mapping[str, Answer],
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answers = dict(answers)
        self.heads: list[bytes] = []
        self.connections = 0
        self._tls = tls
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family)
        self.address, self.port = self._listener.getsockname()[:2]

    def url(self, path: str = "/picture", *, host: str | None = None) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{host or self.address}:{self.port}{path}"

    def __enter__(self) -> PictureHost:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        self._listener.close()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                self._start(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), self._secured(connection) as secured:
            head = secured.recv(65536)
            is_http = b" HTTP/1.1\r\n" in head
            while is_http and b"\r\n\r\n" not in head and (part := secured.recv(65536)):
                head += part
            self.heads.append(head)
            path = head.split(b" ")[1].decode() if is_http else ""
            answer = self.answers.get(path, http(404))
            if isinstance(answer, bytes):
                secured.sendall(answer)
            else:
                answer(secured)

    @contextlib.contextmanager
    def _secured(self, connection: socket.socket) -> Iterator[socket.socket]:
        with connection:
            if self._tls is None:
                yield connection
            else:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    yield secured
