"""Checks of a TIFF's first directory before decoding. Pure.

Pillow and libtiff read a strip or tile as often as the directory lists it, so a file of a megabyte can expand
to gigabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import PictureUnsupported

# Cameras write about sixty tags.
MAX_TIFF_TAGS = 1_000
# One-row strips of the longest side in four planes are 80,000; 64 x 64 tiles of 40 megapixels are 10,000.
MAX_TIFF_PIECES = 80_000
# Tiles at the edges extend beyond the picture: a small picture may have a single tile of 2,048 x 2,048.
MAX_TIFF_OVERHANG_PIXELS = 2_048 * 2_048
# Sum of all referenced bytes, as a multiple of the file's size: a few writers list equal tiles twice.
MAX_TIFF_READ_TWICE = 2

_HEADER_BYTES, _ENTRY_BYTES = 8, 12
_WIDTH, _HEIGHT, _SAMPLES, _PLANES = 256, 257, 277, 284
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_TILES = frozenset({_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES})
_LAYOUT = _TILES | {_WIDTH, _HEIGHT, _SAMPLES, _PLANES, _STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES}
_SEPARATE_PLANES = 2
_MAX_SAMPLES = 6  # Pillow's own limit
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I"}
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}


def check_tiff(data: bytes) -> tuple[int, int]:
    """Width and height as stored, in pixels. Raises PictureUnsupported."""
    try:
        directory = _Directory.read(data)
        size = directory.one(_WIDTH), directory.one(_HEIGHT)
        _check_pieces(directory, *size)
    except (struct.error, KeyError, ZeroDivisionError) as error:
        raise PictureUnsupported(f"TIFF with a broken directory: {error!r}") from None
    return size


def _check_pieces(directory: _Directory, width: int, height: int) -> None:
    """Limit the number of strips or tiles, their pixels, and the bytes that they reference."""
    if _STRIP_OFFSETS in directory.entries:
        if directory.entries.keys() & _TILES:  # ambiguous: Pillow reads the strips, libtiff the tiles
            raise PictureUnsupported("TIFF of strips and tiles")
        offsets, sizes = _STRIP_OFFSETS, _STRIP_BYTES
        across, down = width, min(directory.one(_ROWS_PER_STRIP, height), height)
    else:
        offsets, sizes = _TILE_OFFSETS, _TILE_BYTES
        across, down = directory.one(_TILE_WIDTH), directory.one(_TILE_HEIGHT)
    planes = 1
    if directory.one(_PLANES, 1) == _SEPARATE_PLANES:
        planes = min(directory.one(_SAMPLES, 1), _MAX_SAMPLES)
    pieces = directory.count(offsets)
    if pieces > MAX_TIFF_PIECES or pieces > -(-width // across) * -(-height // down) * planes:
        raise PictureUnsupported(f"TIFF of {pieces} strips or tiles, {across}x{down} px each")
    if pieces * across * down > max(2 * width * height * planes, planes * MAX_TIFF_OVERHANG_PIXELS):
        raise PictureUnsupported("TIFF whose tiles are larger than the picture")
    named = sum(directory.many(sizes)) if sizes in directory.entries else 0
    if max(directory.many(offsets)) >= len(directory.data) or named > MAX_TIFF_READ_TWICE * len(
        directory.data
    ):
        raise PictureUnsupported("TIFF with strips or tiles that are outside of the file or listed too often")


@dataclass(frozen=True, slots=True)
class _Directory:
    """entries: {tag: (type, count, position of the values)}."""

    data: bytes
    order: str
    entries: Mapping[int, tuple[int, int, int]]

    @classmethod
    def read(cls, data: bytes) -> _Directory:
        """The first directory of the file. Raises struct.error if it is truncated, PictureUnsupported."""
        order = "<" if data.startswith(b"II") else ">"
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        if count > MAX_TIFF_TAGS:
            raise PictureUnsupported(f"TIFF of {count} tags")
        entries: dict[int, tuple[int, int, int]] = {}
        total = 0
        for at in range(start + 2, start + 2 + count * _ENTRY_BYTES, _ENTRY_BYTES):
            tag, kind, values, position = struct.unpack_from(order + "HHII", data, at)
            if tag in entries and tag in _LAYOUT:
                raise PictureUnsupported(f"TIFF that has tag {tag} twice")
            size = values * _TYPE_BYTES.get(kind, 1)
            entries[tag] = kind, values, at + _HEADER_BYTES if size <= 4 else position
            total += min(size, len(data))
        if total > MAX_TIFF_READ_TWICE * len(data):
            raise PictureUnsupported("TIFF whose tags reference the same bytes too often")
        return cls(data, order, entries)

    def count(self, tag: int) -> int:
        return self.entries[tag][1]

    def many(self, tag: int) -> tuple[int, ...]:
        """Raises KeyError if the tag is missing or not of an integer type, struct.error."""
        kind, count, position = self.entries[tag]
        return struct.unpack_from(
            f"{self.order}{min(count, MAX_TIFF_PIECES)}{_INTEGERS[kind]}", self.data, position
        )

    def one(self, tag: int, default: int | None = None) -> int:
        """Raises KeyError if the tag is missing without a default, struct.error."""
        if default is not None and tag not in self.entries:
            return default
        kind, _, position = self.entries[tag]
        (value,) = struct.unpack_from(self.order + _INTEGERS[kind], self.data, position)
        return int(value)
