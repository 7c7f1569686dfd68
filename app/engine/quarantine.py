"""Pictures whose reading took a worker down: they are not read again for a while.

Each worker keeps a file with the digests of what its threads read; when native code crashes, faulthandler
appends its traceback. Every worker that shares the folder sees both at once, before Nginx can send the
picture to a second one. A worker that was killed leaves no traceback: its pictures may be read again.
A picture whose read never ended, so that its worker had to be replaced, gets a file of its own.
"""

from __future__ import annotations

import errno
import faulthandler
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.errors import OcrFailed

REFUSED_FOR_S = 600
"""How long a picture is refused, from then on."""

_DIGEST = 64  # hex digits of a SHA-256
_READ_AT_ONCE = 64
_NOTES = _DIGEST * _READ_AT_ONCE  # bytes; what comes after them says how it ended
_NONE = b" " * _DIGEST


class PictureQuarantine:
    """Nothing is noted before start(), which is for workers; what others crashed with is refused everywhere.

    reading() runs in the engine's threads: no locks, no log, and no store that could be down.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1
        self._own = ""
        self._free: list[int] = []

    def start(self) -> list[str]:
        """Open this worker's file and have crashes written into it. The tracebacks of crashed workers.

        Only those that are recent: files that nobody will ask for any more are removed.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = [_traceback(file) for file in self._folder.iterdir() if not _outdated(file)]
        own = f"{os.getpid()}-{secrets.token_hex(4)}"
        path = self._folder / own
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            _write_whole(file, _NONE * _READ_AT_ONCE)
        except OSError:
            os.close(file)
            path.unlink()
            raise
        self._file, self._own = file, own
        faulthandler.enable(open(path, "ab"), all_threads=True)  # noqa: SIM115  as long as the worker lives
        self._free = list(range(0, _NOTES, _DIGEST))
        return [traceback for traceback in found if traceback]

    @contextmanager
    def reading(self, digest: str) -> Iterator[None]:
        """Note what is being read, by its SHA-256 in hex. Raises OcrFailed if it took a worker down."""
        if any(digest.encode() in self._notes_of_ended(file) for file in self._others()):
            raise OcrFailed("its reading took a worker down")
        if not self._free:
            yield
            return
        at = self._free.pop()  # atomic, as append is: the threads share the list
        os.pwrite(self._file, digest.encode(), at)
        try:
            yield
        finally:
            os.pwrite(self._file, _NONE, at)
            self._free.append(at)

    def refuse(self, digest: str, why: str) -> None:
        """From now on, in this worker too, as if one had crashed with it. Raises OSError."""
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        path.write_bytes(digest.encode().ljust(_NOTES) + why.encode())

    def _others(self) -> Iterator[os.DirEntry[str]]:
        with suppress(FileNotFoundError), os.scandir(self._folder) as files:
            yield from (file for file in files if file.name != self._own)

    def _notes_of_ended(self, file: os.DirEntry[str]) -> bytes:
        with suppress(FileNotFoundError):
            about = file.stat()
            if about.st_size > _NOTES and about.st_mtime > time.time() - REFUSED_FOR_S:
                return Path(file).read_bytes()[:_NOTES]
        return b""


def _write_whole(file: int, data: bytes) -> None:
    if os.pwrite(file, data, 0) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _traceback(file: Path) -> str:
    try:
        return file.read_bytes()[_NOTES:].decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _outdated(file: Path) -> bool:
    """Whether it is old, and then it is removed, unless its worker only idles: that one holds the lock."""
    with suppress(OSError), file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_mtime > time.time() - REFUSED_FOR_S:
            return False
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        file.unlink()
    return True
