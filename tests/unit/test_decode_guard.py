"""Decoding what is too large, broken, or no picture at all: refused early, and nothing worse."""

from __future__ import annotations

import contextlib
import random
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from app.decode.header import (
    MAX_GIF_BLOCKS,
    MAX_JPEG_EXIF_SEGMENTS,
    MAX_JPEG_MARKERS,
    MAX_PNG_CHUNKS,
    MAX_PNG_COMPRESSED_CHUNKS,
    check_bmp,
    webp_size,
)
from app.decode.pictures import decode, open_picture, refusals
from app.decode.tiff_header import check_tiff
from app.errors import PictureTooLarge, PictureUnsupported, ServiceError
from tests.hostile import bombs
from tests.hostile.crafted import tiff
from tests.hostile.pictures import Case
from tests.unit.test_decode import LIMITS, SIZE, assert_same, saved, text

MIB = 1024 * 1024


def cpu_seconds(data: bytes, refusal: type[ServiceError]) -> float:
    """The least of three: the machine may be busy, and the first call warms up."""
    least = float("inf")
    for _ in range(3):
        started = time.thread_time()
        with pytest.raises(refusal):
            decode(data, LIMITS)
        least = min(least, time.thread_time() - started)
    return least


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, width: int = 1, height: int = 1) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


PIXEL = chunk(b"IDAT", zlib.compress(b"\x00\x00"))
END = chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\x00", b"<!doctype html><title>404</title>", b'{"error": 404}', b"%PDF-1.7\n"),
        *(b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        *(b"P6\n1 1\n255\nabc", b"8BPS\x00\x01", b"\x00\x00\x01\x00" + bytes(60), b"PK\x03\x04" + bytes(60)),
        *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\x00", b"MM\x00*", b"BM"),
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    ],
)  # fmt: skip
def test_no_picture(data: bytes) -> None:
    with pytest.raises(PictureUnsupported):
        decode(data, LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_cut(kind: str) -> None:
    data = saved(text(), kind)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(PictureUnsupported):
            decode(data[: int(len(data) * share)], LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.filterwarnings(r"ignore:::PIL\.")
def test_bit_flips(kind: str) -> None:
    """Read or refused, with one of our own errors."""
    whole = saved(text(), kind)
    dice = random.Random(f"flips in {kind}")  # noqa: S311
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        try:
            decode(bytes(data), LIMITS)
        except (PictureUnsupported, PictureTooLarge):
            refused += 1
    assert refused


def test_bytes() -> None:
    data = saved(text())
    assert decode(data, replace(LIMITS, max_picture_bytes=len(data)))
    with pytest.raises(PictureTooLarge):
        decode(data, replace(LIMITS, max_picture_bytes=len(data) - 1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_pixels_and_side(kind: str) -> None:
    data = saved(Image.new("RGB", (50, 20)), kind)
    assert decode(data, replace(LIMITS, max_picture_pixels=1000, max_side_px=50))
    for limits in (replace(LIMITS, max_picture_pixels=999), replace(LIMITS, max_side_px=49)):
        with pytest.raises(PictureTooLarge):
            decode(data, limits)


def test_huge_png_of_65_bytes() -> None:
    data = png(chunk(b"IDAT", b"\x78\x9c\x03\x00\x00\x00\x00\x01"), width=30_000, height=30_000)[:65]
    assert cpu_seconds(data, PictureTooLarge) < 0.05


@pytest.mark.parametrize("side", [9_500, 16_383, 65_535])
def test_huge_canvas(side: int) -> None:
    """Around Pillow's own limit, where it warns, and over it, where it raises."""
    webp = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (side - 1).to_bytes(3, "little") * 2
    gif_frame = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02L\x01\x00;"
    bmp = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    for data in (
        b"RIFF" + struct.pack("<I", 4 + len(webp)) + b"WEBP" + webp,
        b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + gif_frame,
        b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + bmp,
    ):
        started = time.thread_time()
        with pytest.raises((PictureTooLarge, PictureUnsupported)):
            decode(data, LIMITS)
        assert time.thread_time() - started < 0.5


def progressive(scans: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    data = saved(text(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (scans - data.count(b"\xff\xda")) + data[-2:]


def test_scans_of_a_jpeg() -> None:
    assert_same(decode(progressive(100), LIMITS), text(), tolerance=12)
    with pytest.raises(PictureTooLarge):
        decode(progressive(101), LIMITS)
    assert cpu_seconds(progressive(1006), PictureTooLarge) < 0.05


def test_scans_behind_stray_bytes_count() -> None:
    """libjpeg skips whatever stands before the next marker, fill bytes included."""
    data = progressive(101)
    at = data.rindex(b"\xff\xda")
    with pytest.raises(PictureTooLarge):
        decode(data[:at] + b"\x00stray\xff\xff\xff" + data[at:], LIMITS)


def test_what_only_looks_like_scans_does_not_count() -> None:
    data = saved(text(), "JPEG")
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 400) + b"\xff\xda" * 200
    assert decode(data[:2] + comment + data[2:] + bytes(2) + b"\xff\xda\x00\x02" * 200, LIMITS)


@pytest.mark.parametrize("flood", [b"\xff\xfe\x00\x02", b"\xff\xd8", b"\xff\xe0\x00\x00"])
def test_flood_of_markers(flood: bytes) -> None:
    data = saved(text(), "JPEG")
    flooded = data[:2] + flood * (9 * MIB // len(flood)) + data[2:]
    assert cpu_seconds(flooded, PictureUnsupported) < 0.05
    few = data[:2] + b"\xff\xfe\x00\x02" * (MAX_JPEG_MARKERS - 100) + data[2:]
    assert decode(few, LIMITS)


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\x00", b"\xff\xd0", b"\x00"])
def test_megabytes_between_the_markers(filler: bytes) -> None:
    data = saved(text(), "JPEG")
    flooded = data[:2] + filler * (9 * MIB // len(filler)) + data[2:]
    assert cpu_seconds(flooded, PictureUnsupported) < 0.25
    assert cpu_seconds(flooded[: 9 * MIB], PictureUnsupported) < 0.25


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\x00", b"\xff\xd0", b"\x00", b"\xff\xd8\xff\xda"])
@pytest.mark.filterwarnings(r"ignore:::PIL\.")
def test_megabytes_within_a_scan(filler: bytes) -> None:
    data = saved(text(), "JPEG")[:-2] + filler * (9 * MIB // len(filler))
    started = time.thread_time()
    with contextlib.suppress(PictureUnsupported, PictureTooLarge):
        decode(data, LIMITS)
    assert time.thread_time() - started < 1


@pytest.mark.parametrize(
    "flood", [b"!\xfe" + b"\x01a" * 4 * MIB + b"\x00", b"!\xf9\x00" * 3 * MIB, b"a" * 9 * MIB]
)
def test_flood_of_gif_blocks(flood: bytes) -> None:
    data = saved(text().convert("L"), "GIF")
    frame = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    assert cpu_seconds(data[:frame] + flood + data[frame:], PictureUnsupported) < 0.05
    comment = b"!\xfe" + b"\x01a" * (MAX_GIF_BLOCKS - 10) + b"\x00"
    assert_same(decode(data[:frame] + comment + data[frame:], LIMITS), text())


BOMB = zlib.compress(bytes(100 * MIB))


@pytest.mark.parametrize(
    "bomb",
    [
        chunk(b"zTXt", b"a\x00\x00" + BOMB),
        chunk(b"iTXt", b"a\x00\x01\x00\x00\x00" + BOMB),
        chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(MIB - 1))) * 65,
        chunk(b"tEXt", b"a\x00b") * (MAX_PNG_CHUNKS + 1),
    ],
    ids=["zTXt", "iTXt", "many", "flood"],
)
def test_text_bomb(bomb: bytes) -> None:
    assert cpu_seconds(png(bomb, PIXEL, END), PictureUnsupported) < 0.05
    assert cpu_seconds(png(PIXEL, bomb, END), PictureUnsupported) < 0.05


def test_ordinary_text_is_no_bomb() -> None:
    notes = chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(b"made by hand")) * MAX_PNG_COMPRESSED_CHUNKS
    assert decode(png(notes, PIXEL, END), LIMITS).image.tolist() == [[[0, 0, 0]]]


def test_pixels_that_inflate_beyond_the_picture() -> None:
    started = time.thread_time()
    found = decode(png(chunk(b"IDAT", BOMB), END), LIMITS)
    assert found.image.shape == (1, 1, 3)
    assert time.thread_time() - started < 0.5


def test_tags_of_a_tiff_that_all_hold_the_whole_file() -> None:
    file = BytesIO()
    text().save(file, "TIFF")
    body = file.getvalue() + bytes(MIB)
    entries = b"".join(struct.pack("<HHII", 40_000 + n, 1, len(body), 0) for n in range(20_000))
    data = body + struct.pack("<H", 20_000) + entries + bytes(4)
    data = data[:4] + struct.pack("<I", len(body)) + data[8:]
    with pytest.raises(PictureUnsupported):
        decode(data, LIMITS)


@pytest.mark.parametrize("draw", bombs.KINDS, ids=lambda draw: draw.__name__)
def test_headers_of_drawn_bombs_cost_nothing(draw: Callable[[random.Random], Case]) -> None:
    """Those that must be refused are, before anything is decoded; the others are the decode host's."""
    dice = random.Random(f"header of {draw.__name__}")  # noqa: S311
    for _ in range(5):
        case = draw(dice)
        if case.codes != bombs.REFUSED:
            continue
        started = time.thread_time()
        with pytest.raises((PictureUnsupported, PictureTooLarge)), refusals():
            open_picture(case.data, LIMITS)
        assert time.thread_time() - started < 0.1, case.name


def layout(**tags: tuple[int, ...]) -> bytes:
    """A raw grey TIFF of 64 x 64 with other tags than usual."""
    numbers = {"rows": 278, "offsets": 273, "bytes": 279, "tile_width": 322, "tile_height": 323, "tiles": 324}
    more = {numbers[name]: values for name, values in tags.items()}
    return tiff((64, 64), bytes(64 * 64), {258: (8,), 259: (1,), 262: (1,), 277: (1,)} | more)


@pytest.mark.parametrize(
    "data",
    [
        layout(rows=(1,), offsets=(8,) * 64, bytes=(64,) * 64),
        layout(rows=(16,), offsets=(8, 1032, 2056, 3080), bytes=(1024,) * 4),
        layout(rows=(2**32 - 1,)),
        layout(tiles=(8,) * 16, tile_width=(16,), tile_height=(16,)),
        layout(tiles=(8,), tile_width=(64,), tile_height=(64,)),
    ],
)
def test_layouts_of_a_tiff_that_programs_write(data: bytes) -> None:
    assert check_tiff(data) == (64, 64)
    assert decode(data, LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        layout(rows=(1,), offsets=(8,) * 65, bytes=(64,) * 65),
        layout(rows=(0,)),
        layout(rows=(1,), offsets=(8,) * 64, bytes=(4096,) * 64),
        layout(offsets=(10**6,)),
        layout(tiles=(8,) * 17, tile_width=(16,), tile_height=(16,)),
        layout(tiles=(8,), tile_width=(65_536,), tile_height=(65_536,)),
        layout(tiles=(8,), tile_width=(0,), tile_height=(16,)),
        layout(tiles=(8,), tile_width=(64,), tile_height=(64,), offsets=(8,)),
        layout()[:100],
        b"II*\x00" + struct.pack("<IH", 8, 65_535) + bytes(12 * 65_535),
    ],
)
def test_layouts_of_a_tiff_that_cost_too_much(data: bytes) -> None:
    with pytest.raises(PictureUnsupported):
        check_tiff(data)


@pytest.mark.parametrize("count", [1, 16, 17])
def test_exif_in_several_segments(count: int) -> None:
    data = saved(text(), "JPEG")
    segment = struct.pack(">BBH", 0xFF, 0xE1, 108) + b"Exif\x00\x00" + bytes(100)
    if count <= MAX_JPEG_EXIF_SEGMENTS:
        assert decode(data[:2] + segment * count + data[2:], LIMITS)
        return
    with pytest.raises(PictureUnsupported):
        decode(data[:2] + segment * count + data[2:], LIMITS)


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"quality": 80}, {"lossless": True, "exif": b"II*\x00"}]
)
def test_the_size_of_a_webp_is_known_before_it_is_opened(options: dict[str, object]) -> None:
    assert webp_size(saved(text(), "WEBP", **options)) == SIZE


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_the_size_of_a_bmp(mode: str) -> None:
    assert check_bmp(saved(text().convert(mode), "BMP")) == SIZE


def test_runs_of_a_bmp_that_programs_write() -> None:
    row = bytes((255, 7)) * 8 + bytes((8, 7)) + b"\x00\x00"
    data = bombs.bmp(2048, 1000, row * 1000 + b"\x00\x01", 1)
    assert decode(data, LIMITS).image.shape == (1000, 2048, 3)
