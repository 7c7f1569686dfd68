"""How much room there is where the service writes, and what counts as a full disk."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RETRY_S = 2
"""How often it looks whether there is room for what a full disk had none for."""


@dataclass(frozen=True, slots=True)
class Disks:
    """folders: those that are written to. min_free_bytes: a disk with less is full."""

    folders: tuple[Path, ...]
    min_free_bytes: int

    def free_bytes(self) -> dict[Path, int]:
        """Of each folder."""
        return {folder: free_bytes(folder) for folder in self.folders}

    def full(self) -> dict[Path, int]:
        """The folders whose disk is full, with their free bytes."""
        return {folder: free for folder, free in self.free_bytes().items() if free < self.min_free_bytes}

    def now_or_later(self, step: Callable[[], None], log: logging.Logger) -> None:
        """Take a step of a worker's start, later where a full disk has no room for it.

        A worker that does not start would stop the master.
        """
        try:
            step()
        except Exception as error:
            if not self._stopped(error):
                raise
            log.warning("started on a full disk", extra={"fields": {"why": str(error)}})
            threading.Thread(target=self._retry, args=(step, log), daemon=True).start()

    def _retry(self, step: Callable[[], None], log: logging.Logger) -> None:
        """In a thread, which is a greenlet in a gevent worker, until there is room."""
        while True:
            time.sleep(RETRY_S)
            try:
                step()
            except Exception as error:
                if not self._stopped(error):
                    log.error("a step of the start fails", extra={"fields": {"why": str(error)}})
            else:
                return

    def _stopped(self, error: Exception) -> bool:
        """Whether it was for a full disk. SQLite's errors do not say so in a way that lasts."""
        return lacks_room(error) or bool(self.full())


def free_bytes(folder: Path) -> int:
    """Bytes that this process may still write there, none where no file can be added.

    The folder itself may be missing as yet.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    disk = os.statvfs(there)
    if disk.f_files and not disk.f_favail:  # some file systems do not count files
        return 0
    return disk.f_bavail * disk.f_frsize


def lacks_room(error: BaseException | None) -> bool:
    """Whether a full disk or a full quota caused the error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False
