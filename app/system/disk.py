"""Free disk space where the service writes, and steps that wait for it."""

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
"""Interval in seconds between attempts of a step that failed on a full disk."""


@dataclass(frozen=True, slots=True)
class Disks:
    """folders: where the service writes. min_free_bytes: a disk with less free space counts as full."""

    folders: tuple[Path, ...]
    min_free_bytes: int

    def free_bytes(self) -> dict[Path, int]:
        """The free bytes of each folder's disk."""
        return {folder: free_bytes(folder) for folder in self.folders}

    def full(self) -> dict[Path, int]:
        """The folders whose disk is full, with their free bytes."""
        return {folder: free for folder, free in self.free_bytes().items() if free < self.min_free_bytes}

    def now_or_later(self, step: Callable[[], None], log: logging.Logger) -> None:
        """Run a step of a worker's start; if the disk is full, retry in the background until it succeeds.

        Raising instead would end the worker, and a worker that fails to start stops gunicorn's master.
        """
        try:
            step()
        except Exception as error:
            if not self._stopped(error):
                raise
            log.warning("started on a full disk", extra={"fields": {"why": str(error)}})
            threading.Thread(target=self._retry, args=(step, log), daemon=True).start()

    def _retry(self, step: Callable[[], None], log: logging.Logger) -> None:
        """Runs in a thread, which is a greenlet in a gevent worker."""
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
        """Whether a full disk caused the error. Checks the disks, because not all SQLite errors tell."""
        return lacks_room(error) or bool(self.full())


def free_bytes(folder: Path) -> int:
    """Bytes that this process may write to the folder's disk; 0 if the disk has no free inode.

    The folder need not exist yet.
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
