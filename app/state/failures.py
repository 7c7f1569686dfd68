"""How many wrong signatures an address may send: a table of fixed size that a machine's workers share."""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
import struct
import tempfile
from contextlib import suppress
from functools import cached_property
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from app.errors import RateLimited
from app.ports import Clock
from app.state.rate import Rate

SLOTS = 1 << 17
IPV6_PREFIX = 64
"""What one subscriber has; every address of it is as good as another."""

_SALT_BYTES = 16
_SLOT = struct.Struct("=q")


class FailureLimit:
    """Implements Failures, in a file mapped into memory that no number of addresses makes grow.

    An address has two slots, each with the time that rate.py needs; it is refused while both say so. Others
    that share one of them make no difference, and which they are nobody outside can tell. Workers write
    without a lock: of two failures at the same moment one may go uncounted.
    """

    def __init__(self, file: Path, *, per_minute: int, clock: Clock) -> None:
        self._file = file
        self._rate = Rate(per_minute=per_minute, burst=per_minute)
        self._clock = clock

    def check(self, address: str) -> None:
        """Raises RateLimited while the address has sent too many."""
        if _somebody(address):
            now = self._now_us()
            earliest = min(_SLOT.unpack_from(self._table, place)[0] for place in self._places(address))
            self._rate.next_arrival(earliest, now)

    def count(self, address: str) -> None:
        """One more."""
        if not _somebody(address):
            return
        now = self._now_us()
        for place in self._places(address):
            (stored,) = _SLOT.unpack_from(self._table, place)
            with suppress(RateLimited):
                _SLOT.pack_into(self._table, place, self._rate.next_arrival(stored, now))

    @cached_property
    def _table(self) -> mmap.mmap:
        if not self._file.exists():
            _create(self._file)
        with self._file.open("r+b") as file:
            return mmap.mmap(file.fileno(), 0)

    def _places(self, address: str) -> tuple[int, int]:
        digest = hashlib.blake2b(_network(address), key=self._table[:_SALT_BYTES], digest_size=8).digest()
        first, second = (int.from_bytes(half) % SLOTS for half in (digest[:4], digest[4:]))
        return _SALT_BYTES + first * _SLOT.size, _SALT_BYTES + second * _SLOT.size

    def _now_us(self) -> int:
        return int(self._clock.now() * 1_000_000)


def _somebody(address: str) -> bool:
    """Not a proxy on this machine that is not believed: all its callers would wait for one of them."""
    return address not in ("", "127.0.0.1", "::1")


def _network(address: str) -> bytes:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address.encode()
    return parsed.packed[: IPV6_PREFIX // 8] if isinstance(parsed, IPv6Address) else parsed.packed


def _create(file: Path) -> None:
    """Written aside and linked into place: processes that start at once share one table."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "wb") as table:
            table.write(secrets.token_bytes(_SALT_BYTES))
            table.truncate(_SALT_BYTES + SLOTS * _SLOT.size)
        with suppress(FileExistsError):
            os.link(temporary, file)
    finally:
        os.unlink(temporary)
