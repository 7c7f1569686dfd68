"""A generator for every row of pictures: each with what it must give, by code, or the text of its plain twin."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from samples.draw import Sheet
from tests.hostile.crafted import LIMIT, MIB, chunk, more_scans, png, tiff_of_jpeg, tiled

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
READ, TOO_LARGE, UNSUPPORTED = 6, 15, 16
EXIF_TURNS = {
    1: (),
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_270,),
}


@dataclass(frozen=True)
class Case:
    """codes: what it may give. legible: then it gives the text of its twin, too."""

    name: str
    data: bytes
    codes: frozenset[int] = frozenset({READ})
    legible: bool = False


def page() -> Image.Image:
    sheet = Sheet(600, 300)
    for row, text in enumerate(("T-2345 of 6789", "Please keep this ticket", "3 pcs at 24.95")):
        sheet.write(40, 80 + 80 * row, text, 40)
    return sheet.image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def legible() -> Iterator[Case]:
    """The same words in every coat."""
    plain, grey = page(), page().convert("L")
    clear = Image.merge("RGBA", [*page().split(), ImageChops.invert(grey)])
    white = Image.merge("RGBA", [*Image.new("RGB", plain.size, "white").split(), ImageChops.invert(grey)])
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 16 + 5)  # dark: clipped, it would be white
    coats: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "grey": (grey, "PNG", {}), "1 bit": (grey.convert("1"), "PNG", {}), "palette": (plain.quantize(16), "PNG", {}),
        "alpha, black text": (clear, "PNG", {}), "alpha, white text": (white, "PNG", {}), "grey and alpha": (clear.convert("LA"), "PNG", {}),
        "alpha in webp": (clear, "WEBP", {"lossless": True}), "alpha in tiff": (clear, "TIFF", {}),
        "16 bits": (deep, "PNG", {}), "16 bits in tiff": (deep, "TIFF", {}), "float": (grey.convert("F"), "TIFF", {}),
        "CMYK": (plain.convert("CMYK"), "JPEG", {"quality": 95}), "CMYK in tiff": (plain.convert("CMYK"), "TIFF", {}),
        "YCbCr in tiff": (plain.convert("YCbCr"), "TIFF", {}), "Lab": (plain, "TIFF", {}), "grey jpeg": (grey, "JPEG", {}),
        "progressive": (plain, "JPEG", {"progressive": True}), "rough": (plain, "JPEG", {"quality": 40}), "4:2:0": (plain, "JPEG", {"subsampling": 2}),
        "lossy webp": (plain, "WEBP", {"quality": 80}), "lossless webp": (plain, "WEBP", {"lossless": True}), "gif": (plain, "GIF", {}),
        "gif, interlaced": (plain, "GIF", {"interlace": 1}), "bmp": (plain, "BMP", {}), "bmp of a palette": (plain.quantize(16), "BMP", {}),
        "bmp of 1 bit": (grey.convert("1"), "BMP", {}), "jpeg 2 pages": (plain, "MPO", {"save_all": True, "append_images": [Image.new("RGB", plain.size)]}),
        **{f"tiff {how}": (plain, "TIFF", {"compression": how}) for how in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")},
        **{f"tiff {how}": (grey.convert("1"), "TIFF", {"compression": how}) for how in ("group3", "group4")},
        **{f"{kind} of 2 frames": (plain, kind, {"save_all": True, "append_images": [Image.new("RGB", plain.size)]}) for kind in ("GIF", "WEBP", "TIFF", "PNG")},
    }  # fmt: skip
    for name, (image, kind, options) in coats.items():
        yield Case(name, saved(image, kind, **options), legible=True)
    yield from _turned(plain)
    for kind in FORMATS:
        yield Case(
            f"{kind} that is a ZIP, too",
            saved(plain, kind) + b"PK\x03\x04" + bytes(500) + b"PK\x05\x06" + bytes(18),
            legible=True,
        )


def _turned(plain: Image.Image) -> Iterator[Case]:
    for orientation, turns in EXIF_TURNS.items():
        image = plain
        for turn in turns:
            image = image.transpose(turn)
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
            yield Case(f"{kind} turned as EXIF {orientation}", saved(image, kind, exif=exif), legible=True)


def broken(flips: int) -> Iterator[Case]:
    for kind in FORMATS:
        whole = saved(page(), kind)
        for tenth in range(1, 10):
            yield Case(
                f"{kind} cut at {tenth}/10", whole[: len(whole) * tenth // 10], frozenset({UNSUPPORTED})
            )
        dice = random.Random(kind)  # noqa: S311
        for n in range(flips):
            data = bytearray(whole)
            for _ in range(dice.randint(1, 10)):
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            yield Case(
                f"{kind} with flipped bits {n}", bytes(data), frozenset({READ, TOO_LARGE, UNSUPPORTED})
            )
    for magic in (
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"II*\x00",
        b"MM\x00*",
        b"BM",
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    ):
        for rest in (b"", bytes(100), random.Random(0).randbytes(5000)):  # noqa: S311
            yield Case(f"nothing behind {magic!r}", magic + rest, frozenset({UNSUPPORTED, TOO_LARGE}))
    for start in (
        b"<html>",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"<svg/>",
        b"%!PS-Adobe",
        b"\x00\x00\x01\x00",
        b"8BPS",
        b"P6 1 1 255 abc",
        b"{}",
        b"\x00" * 99,
    ):
        yield Case(f"no picture: {start!r}", start + page().tobytes()[:999], frozenset({UNSUPPORTED}))


def bombs() -> Iterator[Case]:
    refused, large = frozenset({UNSUPPORTED}), frozenset({TOO_LARGE})
    zeros = zlib.compress(bytes(100 * MIB))
    yield Case(
        "PNG of 30,000 x 30,000 in 65 bytes",
        png(30_000, 30_000, chunk(b"IDAT", b"x\x9c\x03\x00\x00\x00\x00\x01"))[:65],
        large,
    )
    yield Case("JPEG of 1,006 scans", more_scans(saved(page(), "JPEG", progressive=True), 1006), large)
    yield Case("text bomb in a PNG", png(1, 1, chunk(b"zTXt", b"a\x00\x00" + zeros)), refused)
    yield Case("text bomb in an iTXt", png(1, 1, chunk(b"iTXt", b"a\x00\x01\x00\x00\x00" + zeros)), refused)
    yield Case(
        "profile bomb in a PNG",
        png(1, 1, chunk(b"iCCP", b"a\x00\x00" + zeros)),
        frozenset({UNSUPPORTED, READ}),
    )
    yield Case("pixels that inflate beyond", png(1, 1, chunk(b"IDAT", zeros), chunk(b"IEND", b"")))
    for size in ((20_001, 1), (1, 20_001), (30_000, 1), (1, 30_000)):
        yield Case(f"a side over the limit: {size}", saved(Image.new("L", size), "PNG"), large)
    yield Case("pixels over the limit", saved(Image.new("1", (10_001, 4_000)), "PNG"), large)
    yield Case("bytes over the limit", saved(page(), "PNG") + bytes(LIMIT), large)


def extremes() -> Iterator[Case]:
    """Read, however little there is to be read."""
    dice = np.random.default_rng(1)
    noise = Image.fromarray(dice.integers(0, 256, (1500, 1500, 3), np.uint8))
    board = Image.fromarray(((np.indices((3000, 3000)).sum(0) // 8 % 2) * 255).astype(np.uint8))
    for name, image in {
        "1 x 1": Image.new("RGB", (1, 1)), "1 x 20,000": Image.new("L", (1, 20_000)), "20,000 x 1": Image.new("L", (20_000, 1)),
        "20,000 x 2,000": Image.new("L", (20_000, 2_000), "white"), "3 x 900": Image.new("L", (3, 900)), "all black": Image.new("L", (2000, 2000)),
        "noise": noise, "noise of 1 bit": noise.convert("1"), "checkerboard": board, "fine checkerboard": board.resize((700, 700), 0),
    }.items():  # fmt: skip
        yield Case(name, saved(image, "PNG"))


def costly() -> Iterator[Case]:
    """As much work as the limits leave: 40 megapixels, 10 MiB, 100 scans."""
    any_ = frozenset({READ, TOO_LARGE, UNSUPPORTED})
    size = (8_000, 5_000)
    grey, rgb = Image.new("L", size, 128), Image.new("RGB", size, "grey")
    dice = np.random.default_rng(2)
    rough = Image.fromarray(dice.integers(0, 256, (1250, 2000), np.uint8)).resize(size, 0)
    flat = saved(rgb, "JPEG", progressive=True)
    yield Case("JPEG of 40 MP", saved(rough, "JPEG", quality=30)[:LIMIT], any_)
    yield Case("progressive JPEG of 40 MP", flat, any_)
    yield Case("JPEG of 40 MP and 100 scans", more_scans(flat, 100), any_)
    scanned = more_scans(saved(rough, "JPEG", quality=1, progressive=True, subsampling=2), 100)
    yield Case("rough JPEG of 40 MP and 100 scans", scanned, any_)
    for scans in (100, 1006):
        strip = more_scans(saved(rgb, "JPEG", progressive=True, subsampling=2), scans)
        yield Case(f"JPEG of {scans} scans in a TIFF", tiff_of_jpeg(strip, size), any_)
    noise = Image.fromarray(dice.integers(0, 256, (1700, 2000, 3), np.uint8))
    for kind in ("PNG", "WEBP"):
        yield Case(f"{kind} of 10 MiB of noise", saved(noise, kind, lossless=True, method=0), any_)
    yield Case("GIF of noise", saved(noise.convert("L"), "GIF"), any_)
    yield Case("TIFF of tiles", tiled(size), any_)
    yield Case("JPEG in strips of a TIFF", saved(rgb, "TIFF", compression="jpeg"), any_)
    large: dict[str, dict[str, Any]] = {
        "PNG": {"compress_level": 1}, "WEBP": {"lossless": True, "method": 0}, "GIF": {}, "TIFF": {"compression": "tiff_lzw"},
    }  # fmt: skip
    for kind, options in large.items():
        yield Case(f"{kind} of 40 MP", saved(rgb, kind, **options), any_)
    yield Case("alpha of 40 MP", saved(Image.new("RGBA", size, (0, 0, 0, 99)), "PNG", compress_level=1), any_)
    yield Case(
        "palette with alpha of 40 MP", saved(grey.quantize(4), "PNG", transparency=0, compress_level=1), any_
    )
    yield Case(
        "16 bits of 40 MP",
        saved(Image.fromarray(np.full(size[::-1], 999, np.uint16)), "PNG", compress_level=1),
        any_,
    )
    yield Case(
        "float of 40 MP",
        saved(Image.fromarray(np.full(size[::-1], 9, np.float32)), "TIFF", compression="tiff_lzw"),
        any_,
    )
    yield Case("CMYK of 40 MP", saved(Image.new("CMYK", size), "JPEG"), any_)
    yield Case(
        "TIFF of a row a strip",
        saved(grey.resize((2_000, 20_000)), "TIFF", compression="tiff_lzw", tiffinfo={278: 1}),
        any_,
    )
