"""A folder for records that Redis does not take at the moment: on the disk before the answer goes out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from app.errors import DependencyUnavailable
from app.state.redis_front.pending import Held
from app.system.blocking import Run, at_once

SUFFIX = ".json"
BAD = ".bad"

log = logging.getLogger("ocr")


class SpoolUnavailable(DependencyUnavailable):
    """The folder cannot be written to."""


class Spool:
    """One file for each record, there as a whole or not at all; any number of processes may add and drain."""

    def __init__(self, folder: Path, disk: Run = at_once) -> None:
        self._folder = folder
        self._disk = disk

    def add(self, held: Held) -> None:
        """Raises SpoolUnavailable where it cannot be written down."""
        final = self._folder / f"{held.row['started_at']}-{held.request_id}{SUFFIX}"
        with self._faults_named():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._disk(partial(_write, final, held.as_json()))

    def waiting(self) -> Iterator[tuple[Path, Held]]:
        """The records, oldest first, each with its file, to be removed once the record is elsewhere.

        A file that is no record of ours, or that we may not read, is put aside. Raises SpoolUnavailable.
        """
        for file in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                held = Held.from_json(file.read_text("utf-8"))
            except FileNotFoundError:  # another has drained it
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._put_aside(file, error)
                continue
            yield file, held

    def remove(self, file: Path) -> None:
        """Raises SpoolUnavailable."""
        with self._faults_named():
            file.unlink(missing_ok=True)

    def put_aside(self) -> int:
        """How many files lie there that were no records."""
        return sum(1 for _ in self._folder.glob(f"*{BAD}"))

    def __len__(self) -> int:
        return sum(1 for _ in self._folder.glob(f"*{SUFFIX}"))

    def _put_aside(self, file: Path, why: Exception) -> None:
        with self._faults_named():
            try:
                file.rename(file.with_suffix(BAD))
            except FileNotFoundError:  # another has done so
                return
        log.error("bad file in the spool", extra={"fields": {"file": file.name, "why": repr(why)}})

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolUnavailable(f"spool {self._folder}: {error.strerror}", retry_after=1) from error


def _write(final: Path, text: str) -> None:
    """Aside, then renamed into place; the folder is synced as well, or a power cut would take the name."""
    aside = final.with_suffix(f".{os.getpid()}")
    try:
        with open(aside, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, final)
    except OSError:
        aside.unlink(missing_ok=True)  # part of a record, on a disk that is full
        raise
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
