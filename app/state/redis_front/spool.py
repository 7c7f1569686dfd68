"""A folder for records that Redis does not take at the moment, so that none is lost after its answer."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from app.errors import DependencyUnavailable
from app.state.redis_front.pending import PendingUsage
from app.system.blocking import Run, at_once

SUFFIX = ".json"
BAD = ".bad"

log = logging.getLogger("ocr")


class SpoolUnavailable(DependencyUnavailable):
    """The folder cannot be written to."""


class Spool:
    """One file for each record, complete or absent; any number of processes may add and drain at once.

    disk: runs what waits for the disk, outside gevent's loop if need be.
    """

    def __init__(self, folder: Path, disk: Run = at_once) -> None:
        self._folder = folder
        self._disk = disk

    def add(self, ended: PendingUsage) -> None:
        """Returns once the record is safely on the disk. Raises SpoolUnavailable if it cannot be written."""
        final = self._folder / f"{ended.row['started_at']}-{ended.request_id}{SUFFIX}"
        with self._report_faults():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._disk(partial(_write, final, ended.as_json()))

    def waiting(self) -> Iterator[tuple[Path, PendingUsage]]:
        """The records, oldest first, each with its file, which the caller removes after storing the record.

        A file that is not a readable record is renamed to `*.bad`. Raises SpoolUnavailable.
        """
        for file in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                ended = PendingUsage.from_json(file.read_text("utf-8"))
            except FileNotFoundError:  # another process has drained it
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._put_aside(file, error)
                continue
            yield file, ended

    def remove(self, file: Path) -> None:
        """Raises SpoolUnavailable."""
        with self._report_faults():
            file.unlink(missing_ok=True)

    def put_aside(self) -> int:
        """How many files were renamed because they are not readable records."""
        return sum(1 for _ in self._folder.glob(f"*{BAD}"))

    def __len__(self) -> int:
        return sum(1 for _ in self._folder.glob(f"*{SUFFIX}"))

    def _put_aside(self, file: Path, why: Exception) -> None:
        with self._report_faults():
            try:
                file.rename(file.with_suffix(BAD))
            except FileNotFoundError:  # another process has renamed it
                return
        log.error("bad file in the spool", extra={"fields": {"file": file.name, "why": repr(why)}})

    @contextmanager
    def _report_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolUnavailable(f"spool {self._folder}: {error.strerror}", retry_after=1) from error


def _write(final: Path, text: str) -> None:
    """Write a temporary file and rename it. Sync the folder, too: a power cut could lose the new name."""
    temporary = final.with_suffix(f".{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, final)
    except OSError:
        temporary.unlink(missing_ok=True)  # an incomplete record on a full disk
        raise
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
