"""Convert an opened picture into upright BGR pixels, in strips of rows, without a second copy of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

_STRIP_PIXELS = 256 * 1024

_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 0x0102
_DARK = 128
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = [_TURNS[orientation] for orientation in (5, 6, 7, 8)]
_FROM_THE_END = [_TURNS[orientation] for orientation in (3, 4, 7, 8)]

Convert = Callable[[Image.Image], Image.Image]
"""A strip of the picture -> the same strip in RGB."""


@dataclass(frozen=True, slots=True)
class Strips:
    """The pixels of a loaded picture. turn: makes it upright. rows, columns: of the upright picture."""

    picture: ImageFile
    turn: Image.Transpose | None

    @property
    def sideways(self) -> bool:
        return self.turn in _SIDEWAYS

    @property
    def rows(self) -> int:
        return self.picture.width if self.sideways else self.picture.height

    @property
    def columns(self) -> int:
        return self.picture.height if self.sideways else self.picture.width

    def __iter__(self) -> Iterator[bytes]:
        """Bytes of whole rows, from top to bottom."""
        as_rgb = _conversion(self.picture)
        for top, bottom in _bands(self.rows, self.columns):
            strip = as_rgb(self.picture.crop(self._source(top, bottom)))
            yield (strip if self.turn is None else strip.transpose(self.turn)).tobytes("raw", "BGR")

    def _source(self, top: int, bottom: int) -> tuple[int, int, int, int]:
        """The box of these upright rows in the stored picture."""
        if self.turn in _FROM_THE_END:
            top, bottom = self.rows - bottom, self.rows - top
        return (top, 0, bottom, self.columns) if self.sideways else (0, top, self.columns, bottom)


def exif_turn(picture: ImageFile) -> Image.Transpose | None:
    """The transposition that EXIF asks for. Pillow has already applied it to a TIFF, which then says 1."""
    try:
        return _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # broken EXIF; the pixels may be valid
        return None


def _bands(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    height = max(1, _STRIP_PIXELS // columns)
    return ((top, min(top + height, rows)) for top in range(0, rows, height))


def _stored_strips(picture: Image.Image) -> Iterator[Image.Image]:
    for top, bottom in _bands(picture.height, picture.width):
        yield picture.crop((0, top, picture.width, bottom))


def _conversion(picture: ImageFile) -> Convert:
    if picture.mode in ("I", "F"):
        return _stretch(picture)
    if picture.mode.startswith("I;16"):
        return _scale_deep_grey(picture)
    if picture.has_transparency_data:
        return _lay_on_contrast(picture)
    if picture.mode == "CMYK" and picture.format == "JPEG" and "adobe" not in picture.info:
        # Pillow inverts every CMYK JPEG, but only those with Adobe's marker are stored inverted.
        return lambda strip: ImageChops.invert(strip).convert("RGB")
    return _to_rgb


def _to_rgb(strip: Image.Image) -> Image.Image:
    """`convert` would copy a strip that is RGB already."""
    return strip if strip.mode == "RGB" else strip.convert("RGB")


def _to_rgba(strip: Image.Image) -> Image.Image:
    return strip if strip.mode == "RGBA" else strip.convert("RGBA")


def _scale_deep_grey(picture: ImageFile) -> Convert:
    """Scale grey of more than 8 bits. `convert` would clip it, which turns all but black into white."""
    bits = picture.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0] if isinstance(picture, TiffImageFile) else 16

    def scale(strip: Image.Image) -> Image.Image:
        grey = np.asarray(strip) >> (bits - 8)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")

    return scale


def _stretch(picture: ImageFile) -> Convert:
    """Stretch 32-bit grey, which has no nominal range, from its actual range to 0-255."""

    def values(strip: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.nan_to_num(np.asarray(strip, np.float32))

    ends = [(float(found.min()), float(found.max())) for found in map(values, _stored_strips(picture))]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    factor = 255.0 / ((high - low) or 1.0)

    def stretch(strip: Image.Image) -> Image.Image:
        return Image.fromarray(((values(strip) - low) * factor).astype(np.uint8)).convert("RGB")

    return stretch


def _lay_on_contrast(picture: ImageFile) -> Convert:
    """Put RGBA on white if its opaque part is dark, else on black, because one of the two hides the text.

    A picture without any opaque pixel comes from a program that leaves the fourth channel at zero: its alpha
    is ignored.
    """
    total = brightness = 0
    for strip in _stored_strips(picture):
        rgba = _to_rgba(strip)
        counts = rgba.convert("L").histogram(rgba.getchannel("A").point([0] * 128 + [255] * 128))
        total += sum(counts)
        brightness += sum(value * count for value, count in enumerate(counts))
    if total == 0:
        return lambda strip: _to_rgb(_to_rgba(strip))
    ground = "white" if brightness < _DARK * total else "black"

    def lay(strip: Image.Image) -> Image.Image:
        rgba = _to_rgba(strip)
        rgb = Image.new("RGB", strip.size, ground)
        rgb.paste(rgba, mask=rgba)
        return rgb

    return lay
