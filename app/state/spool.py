"""A folder for records that Redis does not take at the moment: on the disk before the answer goes out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from app.errors import DependencyUnavailable
from app.state.held import Held

SUFFIX = ".json"


class Spool:
    """One file for each record, there as a whole or not at all; any number of processes may add and drain."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, held: Held) -> None:
        """Raises DependencyUnavailable where it cannot be written down."""
        final = self._folder / f"{held.row['started_at']}-{held.request_id}{SUFFIX}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(final, held.as_json())
        except OSError as error:
            raise DependencyUnavailable(f"spool {self._folder}: {error.strerror}", retry_after=1) from error

    def waiting(self) -> Iterator[tuple[Path, str]]:
        """The records, oldest first, each with its file, to be removed once the record is elsewhere."""
        for file in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                yield file, file.read_text("utf-8")
            except FileNotFoundError:  # another has drained it
                continue

    def __len__(self) -> int:
        return sum(1 for _ in self._folder.glob(f"*{SUFFIX}"))


def _write(final: Path, text: str) -> None:
    """Aside, then renamed into place; the folder is synced as well, or a power cut would take the name."""
    aside = final.with_suffix(f".{os.getpid()}")
    with open(aside, "w", encoding="utf-8", opener=_private) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
