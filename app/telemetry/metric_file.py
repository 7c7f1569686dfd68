"""A replacement for prometheus_client's metric file that survives a full disk.

prometheus_client maps a sparse file into memory. On a full disk, writing into a hole ends the process
(SIGBUS). This file is allocated before it is mapped.
"""

from __future__ import annotations

import os
import time

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

FIRST_BYTES = 4096
"""Initial size of a file. It doubles when metrics need more."""

RETRY_S = 1.0
"""Interval in seconds between attempts to use the disk again."""

_HEAD = 8  # bytes before the first metric: number of used bytes, and padding
_AROUND_KEY = 4 + 8 + 16  # maximum bytes of a metric besides its name: length, padding, value and time


class MetricFile(MmapedDict):
    """A file in the metrics folder, or memory while the disk is full.

    Other workers do not show the counts in memory until they are in the file.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        self._wanted = filename
        self._in_memory = False
        self._retry_at = 0.0
        self._open(b"", FIRST_BYTES)

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        if self._in_memory and time.monotonic() >= self._retry_at:
            self._open(self._stored(), self._capacity)
        super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        if self._used + len(key.encode()) + _AROUND_KEY > self._capacity:
            self._open(self._stored(), self._capacity * 2)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _stored(self) -> bytes:
        return bytes(self._m[: self._used])

    def _open(self, stored: bytes, size: int) -> None:
        """Continue in a file of this size, with the stored bytes copied into it."""
        try:
            file = os.open(self._wanted, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            file = -1
        self._in_memory = file < 0 or not _allocated(file, size)
        if self._in_memory:
            self._retry_at = time.monotonic() + RETRY_S
            if file >= 0:
                _remove_if_empty(file, self._wanted)
            file = os.memfd_create("metrics")
            os.ftruncate(file, size)
        if stored:
            self.close()  # type: ignore[no-untyped-call]
            _store(file, stored)
        super().__init__(f"/proc/self/fd/{file}")  # type: ignore[no-untyped-call]
        os.close(file)


def use_metric_files() -> None:
    """Make prometheus_client use MetricFile. Call it before the first metric is created."""
    values.MmapedDict = MetricFile  # type: ignore[attr-defined]


def _allocated(file: int, size: int) -> bool:
    try:
        os.posix_fallocate(file, 0, max(size, os.fstat(file).st_size))
    except OSError:
        return False
    return True


def _remove_if_empty(file: int, name: str) -> None:
    """prometheus_client cannot read an empty file."""
    if os.fstat(file).st_size == 0:
        os.unlink(name)
    os.close(file)


def _store(file: int, stored: bytes) -> None:
    """Write the head last, because it tells readers how many bytes are valid."""
    os.pwrite(file, stored[_HEAD:], _HEAD)
    os.pwrite(file, stored[:_HEAD], 0)
