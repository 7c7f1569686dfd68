"""A TCP proxy that counts what a client says, and does something when it has said enough."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


class Counter:
    """Counts over several taps. at(n, action): once n messages have been passed on, before any answer to the
    last of them, call the action; no answer is passed on after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._limit: int | None = None
        self._action: Callable[[], None] = lambda: None
        self.over = threading.Event()

    def at(self, limit: int, action: Callable[[], None]) -> None:
        with self._lock:
            self._limit, self._action = limit, action
            self._check()

    def one_more(self) -> None:
        with self._lock:
            self._count += 1
            self._check()

    def _check(self) -> None:
        if self._limit is not None and self._count >= self._limit and not self.over.is_set():
            self.over.set()
            self._action()


class Tap:
    """A port that leads to another one, on loopback. Its clients wait for each answer before they go on."""

    def __init__(self, to_port: int, counter: Counter | None = None) -> None:
        self.counter = counter or Counter()
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to_port))
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, said_by_client: bool) -> None:
        with suppress(OSError):
            while (data := source.recv(1 << 16)) and not self.counter.over.is_set():
                target.sendall(data)
                if said_by_client:
                    self.counter.one_more()
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
