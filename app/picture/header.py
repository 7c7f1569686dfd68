"""What a picture's markers say before anything is decoded: some pictures are small and cost minutes. Pure."""

from __future__ import annotations

import re
import struct

from app.errors import PictureTooLarge, PictureUnsupported

# Phones write a dozen, large colour profiles and XMP some hundred.
MAX_JPEG_MARKERS = 2_000
# Fill bytes between them, which Pillow passes over one by one.
MAX_JPEG_STRAY_BYTES = 64 * 1024
# 10 MB in chunks of 8 KiB, as libpng writes them, are 1,280.
MAX_PNG_CHUNKS = 10_000
# Pillow inflates up to 1 MB of each while it opens the file.
MAX_PNG_COMPRESSED_CHUNKS = 16
# Blocks before the first frame: comments and XMP, in pieces of up to 255 bytes.
MAX_GIF_BLOCKS = 10_000

# No stuffed zero and no restart marker: those belong to the data of a scan. Linear, also over 10 MB of FF.
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = (0x01, 0xD8)

_PNG_CHUNK = struct.Struct(">I4s")
_PNG_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")

_GIF_EXTENSION, _GIF_FRAME, _GIF_END = b"!,;"


def check_jpeg(data: bytes, *, max_scans: int) -> None:
    """Count the scans, walking from marker to marker as libjpeg does; each costs a pass over the picture.

    Raises PictureTooLarge, PictureUnsupported.
    """
    scans = markers = stray = position = 0
    while (found := _JPEG_MARKER.search(data, position)) is not None:
        stray += found.start() - position if not scans else 0
        position = found.end()
        marker = data[position - 1]
        markers += 1
        scans += marker == _START_OF_SCAN
        if scans > max_scans:
            raise PictureTooLarge(f"JPEG of more than {max_scans} scans")
        if markers > MAX_JPEG_MARKERS + max_scans or stray > MAX_JPEG_STRAY_BYTES:
            raise PictureUnsupported("JPEG of too many markers or stray bytes")
        if marker == _END_OF_IMAGE:
            break
        if marker not in _WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2], "big")
    if not scans:
        raise PictureUnsupported("JPEG without a scan")


def check_png(data: bytes) -> None:
    """Count the chunks, each of which Pillow reads in Python. Raises PictureUnsupported."""
    chunks = compressed = 0
    position = 8
    while position + _PNG_CHUNK.size <= len(data):
        length, kind = _PNG_CHUNK.unpack_from(data, position)
        chunks += 1
        compressed += kind in _PNG_COMPRESSED
        if chunks > MAX_PNG_CHUNKS or compressed > MAX_PNG_COMPRESSED_CHUNKS:
            raise PictureUnsupported("PNG of too many chunks")
        if kind == b"IEND":
            return
        position += 12 + length


def check_gif(data: bytes) -> None:
    """Count the blocks before the first frame: Pillow reads them in Python, and its comments into memory.

    Raises PictureUnsupported, and IndexError where the file ends too early.
    """
    flags = data[10]
    position = 13 + (6 << (flags & 7) if flags & 0x80 else 0)
    in_extension = False
    for _ in range(MAX_GIF_BLOCKS):
        byte = data[position]
        if in_extension:
            position += 1 + byte
            in_extension = byte != 0
        elif byte in (_GIF_FRAME, _GIF_END):
            return
        else:
            in_extension = byte == _GIF_EXTENSION
            position += 2 if in_extension else 1
    raise PictureUnsupported("GIF of too many blocks")
