"""How many wrong signatures are examined: a table of fixed size that a machine's workers share."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from app.errors import RateLimited
from app.limits.network import network_of, parsed
from app.limits.rate import Rate
from app.ports import Clock
from app.system.disk import lacks_room

SLOTS = 1 << 18
_SALT_BYTES = 16
_SLOT = struct.Struct("=q")
_BYTES = _SALT_BYTES + SLOTS * _SLOT.size


class FailureLimit:
    """Implements Failures, in a file mapped into memory that no number of addresses and names makes grow.

    per_minute: wrong signatures for one user name from one address. address_per_minute: for all names from
    one address, so that nobody tries a password with one name after the other.

    A key, which is an address or an address with a name, has two slots, each with the arrival time of
    app/limits/rate.py; it is over its limit while both say so. Keys that share one of the slots make no
    difference, and nobody outside can tell which these are. Workers write without a lock: of two failures at
    the same moment one may go uncounted.
    """

    def __init__(self, file: Path, *, per_minute: int, address_per_minute: int, clock: Clock) -> None:
        self._file = file
        self._by_name = Rate(per_minute=per_minute, burst=per_minute)
        self._by_address = Rate(per_minute=address_per_minute, burst=address_per_minute)
        self._clock = clock

    def start(self) -> None:
        """Open the table, and make it where it is missing or broken. Raises OSError."""
        _ = self._table

    def check(self, address: str, username: str) -> None:
        """Raises RateLimited while too many came from this address, for this name or for all of them."""
        now = self._now_us()
        for key, rate in self._limits(address, username):
            rate.next_arrival(min(self._stored(place) for place in self._places(key)), now)

    def count(self, address: str, username: str) -> None:
        """One more."""
        now = self._now_us()
        for key, rate in self._limits(address, username):
            for place in self._places(key):
                with suppress(RateLimited):
                    _SLOT.pack_into(self._table, place, rate.next_arrival(self._stored(place), now))

    def _limits(self, address: str, username: str) -> tuple[tuple[bytes, Rate], ...]:
        """None for no address and for a proxy on this machine that is not believed: one of its callers could
        have a user locked out from everywhere.
        """
        found = parsed(address)
        if not address or (found is not None and found.is_loopback):
            return ()
        network = network_of(address) or address.encode()
        return (b"all" + network, self._by_address), (b"one" + network + username.encode(), self._by_name)

    @cached_property
    def _table(self) -> mmap.mmap:
        try:
            return self._shared_table()
        except OSError as error:
            if not lacks_room(error):
                raise
        table = mmap.mmap(-1, _BYTES)  # this worker's own, until it is replaced
        table[:_SALT_BYTES] = secrets.token_bytes(_SALT_BYTES)
        return table

    def _shared_table(self) -> mmap.mmap:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(self._file.parent):
            if not _is_whole(self._file):
                _create(self._file)
            with self._file.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, _BYTES)  # no hole that a full disk turns into a SIGBUS
                return mmap.mmap(file.fileno(), _BYTES)

    def _stored(self, place: int) -> int:
        found: int = _SLOT.unpack_from(self._table, place)[0]
        return found

    def _places(self, key: bytes) -> tuple[int, int]:
        digest = hashlib.blake2b(key, key=self._table[:_SALT_BYTES], digest_size=8).digest()
        first, second = (int.from_bytes(half) % SLOTS for half in (digest[:4], digest[4:]))
        return _SALT_BYTES + first * _SLOT.size, _SALT_BYTES + second * _SLOT.size

    def _now_us(self) -> int:
        return int(self._clock.now() * 1_000_000)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Processes that start at once share one table."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_whole(file: Path) -> bool:
    """Not after a power cut that left it short or without its salt."""
    try:
        with file.open("rb") as table:
            return any(table.read(_SALT_BYTES)) and os.fstat(table.fileno()).st_size == _BYTES
    except FileNotFoundError:
        return False


def _create(file: Path) -> None:
    """Written aside and put into place: whoever has another mapped keeps that."""
    new = file.with_name(f".{file.name}-new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as table:
        table.write(secrets.token_bytes(_SALT_BYTES))
        table.flush()
        os.posix_fallocate(table.fileno(), 0, _BYTES)
        os.fsync(table.fileno())
    os.replace(new, file)
