"""When a worker has to be replaced: a read that does not end, or too much memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import gevent

from app.system.memory import resident_mb


class Watchdog:
    """Asks for a replacement of this worker, once.

    read_limit_s: the longest time for one read. Nothing can stop a native thread, so a longer read makes the
    worker `stuck`: it must accept no more work. refuse: prevents that picture from being read again.
    max_worker_mb: the largest size of this process in MB after a read, 0 for any size. A larger worker goes
    on until it is replaced.
    replace_worker: called with the reason.
    """

    def __init__(
        self,
        *,
        read_limit_s: float,
        max_worker_mb: int,
        refuse: Callable[[bytes], None],
        replace_worker: Callable[[str], None],
    ) -> None:
        self.read_limit_s = read_limit_s
        self.stuck = False
        self._max_worker_mb = max_worker_mb
        self._refuse = refuse
        self._replace_worker = replace_worker
        self._replacing = False

    def watch_read(self, data: bytes) -> Callable[[], None]:
        """Starts the time limit of this picture's read; the returned function ends it and does not block."""
        timer = gevent.spawn_later(self.read_limit_s, self._read_over_limit, data)
        return partial(timer.kill, block=False)

    def check_size(self) -> None:
        if self._max_worker_mb and (size := resident_mb()) > self._max_worker_mb:
            self._replace(f"{size:.0f} MB are more than {self._max_worker_mb}")

    def _read_over_limit(self, data: bytes) -> None:
        self.stuck = True
        try:
            self._refuse(data)
        finally:
            self._replace(f"a read took over {self.read_limit_s:g} s")

    def _replace(self, reason: str) -> None:
        if not self._replacing:
            self._replacing = True
            self._replace_worker(reason)
