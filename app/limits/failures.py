"""Rate limit of wrong signatures: a table of fixed size, shared by all workers of a machine."""

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
    """Implements Failures in a memory-mapped file of fixed size, which unauthenticated callers cannot grow.

    per_minute: wrong signatures per user name and address. address_per_minute: wrong signatures per address
    over all names, so that nobody can try a password with many names.

    A key is an address, or an address with a name. A salted hash maps it to two slots, each with an arrival
    time of app/limits/rate.py. A key is over its limit if both slots are, so sharing one slot with another
    key is harmless. Workers write without a lock: one of two simultaneous failures may not be counted.
    """

    def __init__(self, file: Path, *, per_minute: int, address_per_minute: int, clock: Clock) -> None:
        self._file = file
        self._by_name = Rate(per_minute=per_minute, burst=per_minute)
        self._by_address = Rate(per_minute=address_per_minute, burst=address_per_minute)
        self._clock = clock

    def start(self) -> None:
        """Open the table; create it if it is missing or damaged. Raises OSError."""
        _ = self._table

    def check(self, address: str, username: str) -> None:
        """Raises RateLimited while this address is over a limit, for this name or over all names."""
        now = self._now_us()
        for key, rate in self._limits(address, username):
            rate.next_arrival(min(self._stored(place) for place in self._places(key)), now)

    def count(self, address: str, username: str) -> None:
        """Count a wrong signature."""
        now = self._now_us()
        for key, rate in self._limits(address, username):
            for place in self._places(key):
                with suppress(RateLimited):
                    _SLOT.pack_into(self._table, place, rate.next_arrival(self._stored(place), now))

    def _limits(self, address: str, username: str) -> tuple[tuple[bytes, Rate], ...]:
        """The keys to count, with their limits; empty without an address and for a loopback address.

        A loopback address means a proxy that is not trusted: any of its callers could lock a user out.
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
        table = mmap.mmap(-1, _BYTES)  # full disk: a table of this worker only
        table[:_SALT_BYTES] = secrets.token_bytes(_SALT_BYTES)
        return table

    def _shared_table(self) -> mmap.mmap:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(self._file.parent):
            if not _is_whole(self._file):
                _create(self._file)
            with self._file.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, _BYTES)  # a hole would cause SIGBUS on a full disk
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
    """Hold a lock, so that processes that start at the same time create only one table."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_whole(file: Path) -> bool:
    """False if a power failure left the file short or without its salt."""
    try:
        with file.open("rb") as table:
            return any(table.read(_SALT_BYTES)) and os.fstat(table.fileno()).st_size == _BYTES
    except FileNotFoundError:
        return False


def _create(file: Path) -> None:
    """Write a new file and rename it over the old one. Processes that have mapped the old file keep it."""
    new = file.with_name(f".{file.name}-new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as table:
        table.write(secrets.token_bytes(_SALT_BYTES))
        table.flush()
        os.posix_fallocate(table.fileno(), 0, _BYTES)
        os.fsync(table.fileno())
    os.replace(new, file)
