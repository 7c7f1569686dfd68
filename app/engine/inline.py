"""Where a process without gevent reads pictures: tests, the command line and `flask run`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from app.engine.attempt import Read, attempt, result_of
from app.model.reading import ReadOptions, ReadResult
from app.ports import Clock


class Inline:
    """Implements Offload and Reservation: reads in the caller's own thread, one picture at a time.

    There is always room, so one reservation serves all callers.
    """

    def __init__(self, build: Callable[[], Read], *, clock: Clock) -> None:
        self._build = build
        self._clock = clock
        self._lock = threading.Lock()
        self._reader: Read | None = None

    def start(self) -> None:
        with self._lock:
            self._started()

    def ready(self) -> bool:
        self.start()
        return True

    def reserve(self, deadline: float, cancelled: Callable[[], bool], username: str) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, data: bytes, options: ReadOptions) -> tuple[ReadResult, int]:
        arrived = self._clock.monotonic()
        with self._lock:
            waited_s = self._clock.monotonic() - arrived
            return result_of(attempt(self._started(), data, options)), round(waited_s * 1000)

    def _started(self) -> Read:
        self._reader = self._reader or self._build()
        return self._reader
