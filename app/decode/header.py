"""Checks of a picture's structure before decoding: some small files would take minutes to decode. Pure."""

from __future__ import annotations

import re
import struct

from app.errors import PictureTooLarge, PictureUnsupported

# Phones write a dozen markers; large colour profiles and XMP take some hundred.
MAX_JPEG_MARKERS = 2_000
# Pillow concatenates Exif segments one by one, in quadratic time; one segment holds 64 KB.
MAX_JPEG_EXIF_SEGMENTS = 16
# Pillow parses quantisation tables and Photoshop resources in Python. One segment can hold all four tables.
MAX_JPEG_PARSED_SEGMENTS = 64
# Fill bytes between markers, which Pillow skips one by one.
MAX_JPEG_STRAY_BYTES = 64 * 1024
# A file of 10 MB in chunks of 8 KiB, as libpng writes them, has 1,280.
MAX_PNG_CHUNKS = 10_000
# Pillow inflates up to 1 MB of each chunk while it opens the file.
MAX_PNG_COMPRESSED_CHUNKS = 16
# Blocks before the first frame: comments and XMP, of up to 255 bytes each.
MAX_GIF_BLOCKS = 10_000
# A run of 255 pixels takes two bytes. Pillow decodes runs in Python and fills missing pixels with zeros.
MAX_BMP_PIXELS_PER_BYTE = 256

# Excludes stuffed zeros and restart markers, which belong to a scan's data. Linear time even on 10 MB of FF.
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = (0x01, 0xD8)
_APP1 = 0xE1
_PARSED = (0xDB, 0xED)

_PNG_CHUNK = struct.Struct(">I4s")
_PNG_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")

_GIF_EXTENSION, _GIF_FRAME, _GIF_END = b"!,;"

_BMP_OLD_HEADER_BYTES = 12
_BMP_RUN_LENGTH = (1, 2)


def check_jpeg(data: bytes, *, max_scans: int) -> None:
    """Limit the scans, each of which costs a pass over the picture. Follows the markers as libjpeg does.

    Raises PictureTooLarge for too many scans, PictureUnsupported for a malformed file.
    """
    scans = markers = stray = position = exif = parsed = 0
    while (found := _JPEG_MARKER.search(data, position)) is not None:
        stray += found.start() - position if not scans else 0
        position = found.end()
        marker = data[position - 1]
        markers += 1
        scans += marker == _START_OF_SCAN
        exif += marker == _APP1 and data.startswith(b"Exif", position + 2)
        parsed += marker in _PARSED
        if scans > max_scans:
            raise PictureTooLarge(f"JPEG of more than {max_scans} scans")
        if (
            markers > MAX_JPEG_MARKERS + max_scans
            or stray > MAX_JPEG_STRAY_BYTES
            or exif > MAX_JPEG_EXIF_SEGMENTS
            or parsed > MAX_JPEG_PARSED_SEGMENTS + max_scans
        ):
            raise PictureUnsupported("JPEG of too many markers or stray bytes")
        if marker == _END_OF_IMAGE:
            break
        if marker not in _WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2], "big")
    if not scans:
        raise PictureUnsupported("JPEG without a scan")


def check_png(data: bytes) -> None:
    """Limit the chunks, each of which Pillow reads in Python. Raises PictureUnsupported."""
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
    """Limit the blocks before the first frame: Pillow reads them in Python, and keeps comments in memory.

    Raises PictureUnsupported, and IndexError if the file ends too early.
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


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas, which Pillow allocates on opening. Raises PictureUnsupported."""
    kind, at = data[12:16], 20
    if len(data) < at + 10:
        raise PictureUnsupported("WebP without a size")
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at + 4 + n : at + 7 + n], "little") + 1 for n in (0, 3))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[at + 1 : at + 5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, at + 6))
    return width, height


def check_bmp(data: bytes) -> tuple[int, int]:
    """Width and height. Raises PictureUnsupported, also if run-length data omits most of the picture."""
    try:
        (header_bytes,) = struct.unpack_from("<I", data, 14)
        if header_bytes == _BMP_OLD_HEADER_BYTES:
            width, height = struct.unpack_from("<HH", data, 18)
            return width, height
        width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    except struct.error as error:
        raise PictureUnsupported(f"BMP without a size: {error}") from None
    width, height = abs(width), abs(height)
    if compression in _BMP_RUN_LENGTH and width * height > MAX_BMP_PIXELS_PER_BYTE * len(data):
        raise PictureUnsupported(f"BMP of {width}x{height} px in {len(data)} bytes of runs")
    return width, height
