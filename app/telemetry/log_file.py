"""A log file of limited size that several processes append to, and that tolerates a full disk.

Standard library only, because gunicorn's master loads it by path, before gevent patches anything.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from contextlib import suppress

FULL = (errno.ENOSPC, errno.EDQUOT)


class LogFile(logging.Handler):
    """Appends each record as one line.

    max_bytes: a larger file replaces NAME.old; 0 disables the limit. Other programs, such as logrotate, may
    move the file; the next line starts a new one. On a full disk lines are dropped, because requests must go
    on; their number is logged before the next line that fits.
    """

    def __init__(self, filename: str, max_bytes: int = 0) -> None:
        super().__init__()
        self._path = os.path.abspath(filename)
        self._max_bytes = max_bytes
        self._file = -1
        self._dropped = 0

    def check(self) -> None:
        """Open the file to detect wrong permissions early. Raises OSError, except for a full disk."""
        try:
            self._open_current()
        except OSError as error:
            if error.errno not in FULL:
                raise

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lines = self.format(record) + "\n"
            if self._dropped:
                lines = self.format(_note(record, self._dropped)) + "\n" + lines
            self._append(lines.encode("utf-8", "backslashreplace"))
        except Exception as error:
            if getattr(error, "errno", None) not in FULL:
                self.handleError(record)  # on standard error
            self._dropped += 1
        else:
            self._dropped = 0

    def close(self) -> None:
        self._close_file()
        super().close()

    def _append(self, lines: bytes) -> None:
        """Append all of the lines or none. Raises OSError."""
        self._open_current()
        written = os.write(self._file, lines)
        if written == len(lines):
            return
        end = os.lseek(self._file, 0, os.SEEK_CUR)
        if os.fstat(self._file).st_size == end:  # no other process has written since
            os.ftruncate(self._file, end - written)
        raise OSError(errno.ENOSPC, "the disk took only a part of the line")

    def _open_current(self) -> None:
        """Open the file that currently has the name. Raises OSError."""
        current = _status(self._path)
        if current and self._max_bytes and current.st_size >= self._max_bytes:
            self._move_aside()
            current = _status(self._path)
        if self._file < 0 or current is None or not os.path.samestat(current, os.fstat(self._file)):
            self._close_file()
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _move_aside(self) -> None:
        """Move the file to NAME.old, in only one of the processes that find it too large."""
        with suppress(OSError):
            lock = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                current = _status(self._path)
                if current and os.path.samestat(current, os.fstat(lock)):
                    os.replace(self._path, f"{self._path}.old")
            finally:
                os.close(lock)

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _status(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)
    except FileNotFoundError:
        return None


def _note(record: logging.LogRecord, dropped: int) -> logging.LogRecord:
    return logging.LogRecord(
        record.name, logging.WARNING, "", 0, "%d log lines could not be written", (dropped,), None
    )
