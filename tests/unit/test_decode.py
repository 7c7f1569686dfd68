"""Decoding: every kind of picture gives the pixels of its plain twin."""

from __future__ import annotations

import threading
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageColor, ImageDraw, TiffImagePlugin

from app.decode.limits import DecodeLimits
from app.decode.pictures import decode
from app.model.reading import Picture

LIMITS = DecodeLimits(
    max_picture_bytes=10 * 1024 * 1024,
    max_picture_pixels=40_000_000,
    max_side_px=20_000,
    max_jpeg_scans=100,
)
SIZE = (120, 40)


def text(ink: Any = "black", ground: Any = "white", mode: str = "RGB") -> Image.Image:
    """A wide picture whose corners differ, so that every turn of it can be told."""
    picture = Image.new(mode, SIZE, ground)
    draw = ImageDraw.Draw(picture)
    draw.fontmode = "1"
    draw.text((8, 6), "Total 42", fill=ink, font_size=24)
    draw.rectangle((0, 0, 9, 4), fill=ink)
    return picture


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def assert_same(found: Picture, expected: Image.Image, *, tolerance: float = 1.0) -> None:
    rgb = np.asarray(expected.convert("RGB"), np.float32)
    assert found.image.shape == rgb.shape
    assert np.abs(found.image[:, :, ::-1] - rgb).mean() <= tolerance


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_formats(kind: str) -> None:
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    found = decode(saved(text(), kind, **options), LIMITS)
    assert (found.format, found.width, found.height) == (kind, *SIZE)
    assert found.image.dtype == np.uint8
    assert found.image.flags.c_contiguous and found.image.flags.writeable
    assert_same(found, text(), tolerance=6)


def test_channels_are_blue_green_red() -> None:
    assert decode(saved(Image.new("RGB", (2, 2), (10, 20, 30))), LIMITS).image[0, 0].tolist() == [30, 20, 10]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
def test_modes_of_png(mode: str) -> None:
    assert_same(decode(saved(text().convert(mode)), LIMITS), text(), tolerance=3)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "group4", "jpeg"])
def test_compressions_of_tiff(compression: str) -> None:
    picture = text().convert("1" if compression == "group4" else "RGB")
    assert_same(decode(saved(picture, "TIFF", compression=compression), LIMITS), text(), tolerance=6)


@pytest.mark.parametrize(
    ("ink", "ground"),
    [("black", "white"), ("white", "black"), ((120, 0, 0), "white"), ((255, 240, 0), "black")],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_text_on_transparent_ground(kind: str, ink: Any, ground: str) -> None:
    """What is transparent holds a colour too, here the ink's own: it must not show."""
    rgb = ImageColor.getrgb(ink) if isinstance(ink, str) else ink
    picture = text(ink=(*rgb, 255), ground=(*rgb, 0), mode="RGBA")
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = decode(saved(picture, kind, **options), LIMITS)
    assert_same(found, text(ink, ground), tolerance=3)


def test_transparent_colour_and_transparent_palette() -> None:
    picture = text()
    assert_same(decode(saved(picture, transparency=(255, 255, 255)), LIMITS), picture)
    assert_same(decode(saved(picture.convert("L"), transparency=255), LIMITS), picture)
    palette = picture.quantize(2)
    white = int(np.asarray(palette)[-1, -1])
    assert_same(decode(saved(palette, transparency=white), LIMITS), picture)
    assert_same(decode(saved(palette, "GIF", transparency=white), LIMITS), picture)
    assert_same(
        decode(saved(palette, transparency=bytes([255 * (n != white) for n in range(2)])), LIMITS), picture
    )


def test_alpha_that_is_zero_everywhere_is_no_alpha() -> None:
    picture = text().convert("RGBA")
    picture.putalpha(0)
    assert_same(decode(saved(picture), LIMITS), text())


def deep(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The text in grey of the type and range that `values`, its ink and its ground, have."""
    return np.where(np.asarray(text().convert("L")) < 128, values[0], values[1])


GREY = text().convert("L").point([0] * 128 + [255] * 128)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled(kind: str) -> None:
    values = deep(np.array([300, 60_000], np.uint16))
    found = decode(saved(Image.fromarray(values), kind), LIMITS)
    assert_same(found, GREY.point([1] * 128 + [60_000 >> 8] * 128))


@pytest.mark.parametrize(
    "ink_and_ground",
    [
        np.array([-70_000, 9_000_000], np.int32),
        np.array([0.0, 1.0], np.float32),
        np.array([-3e9, 7e20], np.float32),
    ],
    ids=["int32", "float", "huge float"],
)
def test_grey_without_a_range_is_stretched(ink_and_ground: np.ndarray[Any, Any]) -> None:
    assert_same(decode(saved(Image.fromarray(deep(ink_and_ground)), "TIFF"), LIMITS), GREY)


def test_float_that_is_not_a_number_or_all_the_same() -> None:
    broken = np.full((3, 3), np.nan, np.float32)
    assert decode(saved(Image.fromarray(broken), "TIFF"), LIMITS).image.max() == 0
    assert decode(saved(Image.fromarray(np.full((3, 3), 7, np.float32)), "TIFF"), LIMITS).image.max() == 0


def test_12_bit_grey_of_a_scanner() -> None:
    """Two pixels of 12 bits, black and white, in a TIFF written by hand: Pillow writes none."""
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 3}
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\x04\x00" + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        for tag, value in tags.items()
    )
    data = (
        b"II*\x00"
        + (12).to_bytes(4, "little")
        + b"\x00\x0f\xff\x00"
        + bytes([len(tags), 0])
        + entries
        + bytes(4)
    )
    assert decode(data, LIMITS).image[0, :, 0].tolist() == [0, 255]


def test_cmyk() -> None:
    picture = text(ink=(200, 0, 0))
    cmyk = picture.convert("CMYK")
    assert_same(decode(saved(cmyk, "TIFF"), LIMITS), picture)
    assert_same(decode(saved(cmyk, "JPEG", quality=95), LIMITS), picture, tolerance=6)


def test_cmyk_jpeg_without_adobe_marker_is_not_inverted() -> None:
    """Pillow inverts what it writes and adds the marker: so a negative, written, less the marker."""
    picture = text(ink=(0, 0, 0, 255), ground=(0, 0, 0, 0), mode="CMYK")
    data = saved(ImageChops.invert(picture), "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    assert data[at + 4 : at + 9] == b"Adobe"
    plain = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    assert_same(decode(plain, LIMITS), text(), tolerance=6)


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture as a camera stores it that says `orientation`: what EXIF's table asks for, undone."""
    pixels = np.asarray(picture)
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, 1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(pixels, -1),
    }
    return Image.fromarray(np.ascontiguousarray(stored[orientation]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    found = decode(saved(turned(text(), orientation), kind, exif=exif, **options), LIMITS)
    assert (found.width, found.height) == SIZE
    assert_same(found, text(), tolerance=6)


@pytest.mark.parametrize("exif", [b"", b"II*\x00\xff\xff\xff\xff", b"no TIFF!", bytes(60_000)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings(r"ignore:::PIL\.")
def test_broken_exif_is_no_reason(kind: str, exif: bytes) -> None:
    options = {} if kind == "PNG" else {"quality": 95}
    data = saved(text(), kind, exif=b"Exif\x00\x00" + exif, **options)
    assert_same(decode(data, LIMITS), text(), tolerance=6)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_is_none(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_same(decode(saved(text(), exif=exif), LIMITS), text())


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_first_frame_only(kind: str) -> None:
    others = [text(ink="red"), Image.new("RGB", SIZE, "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    found = decode(saved(text(), kind, save_all=True, append_images=others, **options), LIMITS)
    assert_same(found, text(), tolerance=3)


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
def test_extreme_sizes(kind: str, size: tuple[int, int]) -> None:
    found = decode(saved(Image.new("RGB", size, "white"), kind), LIMITS)
    assert (found.width, found.height) == size
    assert found.image.shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    ("enough_px", "shape"),
    [
        (None, (301, 403)),
        (403, (301, 403)),
        (202, (301, 403)),
        (201, (151, 202)),
        (60, (76, 101)),
        (1, (38, 51)),
    ],
)
def test_a_jpeg_is_decoded_to_no_more_than_is_enough(enough_px: int | None, shape: tuple[int, int]) -> None:
    found = decode(saved(text().resize((403, 301)), "JPEG", quality=95), LIMITS, enough_px=enough_px)
    assert (found.width, found.height) == (403, 301)
    assert found.image.shape == (*shape, 3)
    small = Picture(found.image, shape[1], shape[0], "JPEG")
    assert_same(small, text().resize((403, 301)).resize((shape[1], shape[0])), tolerance=10)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_smaller_jpeg_is_turned_too(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(turned(text(), orientation), "JPEG", quality=95, exif=exif)
    found = decode(data, LIMITS, enough_px=60)
    assert (found.width, found.height) == SIZE
    assert_same(replace(found, width=60, height=20), text().resize((60, 20)), tolerance=8)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_others_are_decoded_whole(kind: str) -> None:
    assert decode(saved(text(), kind), LIMITS, enough_px=10).image.shape == (SIZE[1], SIZE[0], 3)


def test_many_threads_each_get_their_own() -> None:
    found: dict[int, list[int]] = {}

    def read(n: int) -> None:
        data = saved(Image.new("RGB", (64, 64), (n, 2 * n, 255 - n)), ("PNG", "TIFF", "BMP")[n % 3])
        found[n] = decode(data, LIMITS).image[32, 32].tolist()

    threads = [threading.Thread(target=read, args=(n,)) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [255 - n, 2 * n, n] for n in range(100)}


def test_no_global_of_pillow_is_changed() -> None:
    decode(saved(text(), "TIFF"), LIMITS)
    assert Image.MAX_IMAGE_PIXELS == 1024 * 1024 * 1024 // 4 // 3
    assert not TiffImagePlugin.READ_LIBTIFF
