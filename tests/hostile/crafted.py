"""Pictures that no program writes, byte by byte."""

from __future__ import annotations

import struct
import zlib

MIB = 1024 * 1024
LIMIT = 10 * MIB


Tags = dict[int, tuple[int, ...]]


def tiff(size: tuple[int, int], data: bytes, tags: Tags) -> bytes:
    """A little-endian TIFF with one strip, or what the tags make of its data; longs where shorts do not do."""
    width, height = size
    strips = {} if 324 in tags else {273: (8,), 278: (height,), 279: (len(data),)}
    tags = {256: (width,), 257: (height,)} | strips | tags
    at = 8 + len(data)
    entries, more = b"", b""
    beyond = at + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            packed, more = struct.pack("<I", beyond + len(more)), more + packed
        entries += struct.pack("<HHI", tag, 4, len(values)) + packed
    return (
        b"II*\x00" + struct.pack("<I", at) + data + struct.pack("<H", len(tags)) + entries + bytes(4) + more
    )


def tiff_of_jpeg(strip: bytes, size: tuple[int, int]) -> bytes:
    return tiff(size, strip, {258: (8, 8, 8), 259: (7,), 262: (6,), 277: (3,), 530: (2, 2)})


def tiled(size: tuple[int, int]) -> bytes:
    """The same small tile of deflated zeros everywhere, as many as make up the picture."""
    tile = zlib.compress(bytes(16 * 16))
    count = (size[0] // 16) * (-(-size[1] // 16))
    tags = {
        258: (8,),
        259: (8,),
        262: (1,),
        277: (1,),
        322: (16,),
        323: (16,),
        324: (8,) * count,
        325: (len(tile),) * count,
    }
    return tiff(size, tile, tags)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


def more_scans(progressive: bytes, scans: int) -> bytes:
    """The last scan of a progressive JPEG again and again."""
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    more = min(scans - progressive.count(b"\xff\xda"), (LIMIT - len(progressive)) // len(last))
    return progressive[:-2] + last * more + progressive[-2:]
