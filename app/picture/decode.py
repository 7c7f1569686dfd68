"""A stranger's bytes -> pixels, guarded. Pure: runs in the engine's thread, keeps nothing, logs nothing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.errors import PictureTooLarge, PictureUnsupported, ServiceError
from app.picture.header import check_gif, check_jpeg, check_png

if TYPE_CHECKING:
    from app.ports import Image as Pixels

# The closed list. `Image.open` would try some forty formats, EPS among them, and has a global pixel limit.
_FORMATS: tuple[tuple[re.Pattern[bytes], type[ImageFile]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), JpegImageFile),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImageFile),
    (re.compile(rb"RIFF....WEBPVP8[ LX]", re.DOTALL), WebPImageFile),
    (re.compile(rb"GIF8[79]a"), GifImageFile),
    (re.compile(rb"II\*\x00|MM\x00\*"), TiffImageFile),
    (re.compile(rb"BM"), BmpImageFile),
)

_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 0x0102
_STRIP = 64  # rows
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNS_ON_SIDE = [_TURNS[orientation] for orientation in (5, 6, 7, 8)]

# Pillow warns of what strangers' pictures hold, each text once and remembered for ever. What matters is
# checked here. Once for the process, because `warnings.catch_warnings` is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    max_picture_bytes: int
    max_picture_pixels: int
    max_side_px: int
    max_jpeg_scans: int


@dataclass(frozen=True, slots=True)
class Picture:
    """image: uint8 [rows, columns, 3], BGR, upright; whole, or a half, a quarter or an eighth of each side.

    width, height: of the whole picture, upright. format: the container, such as JPEG.
    """

    image: Pixels
    width: int
    height: int
    format: str


def decode(data: bytes, limits: DecodeLimits, *, enough_px: int | None = None) -> Picture:
    """The first frame, as a person sees it. Raises PictureTooLarge, PictureUnsupported.

    enough_px: a JPEG may be decoded to a fraction of its size that leaves its longer side this long.
    """
    if len(data) > limits.max_picture_bytes:
        raise PictureTooLarge(f"{len(data)} bytes over {limits.max_picture_bytes}")
    try:
        with _opened(data, limits) as picture:
            size = picture.size
            if enough_px is not None:
                _decode_no_more_than(enough_px, picture)
            picture.load()
            turn = _turn(picture)
            rgb = _as_rgb(picture)
            image = _bgr(rgb if turn is None else rgb.transpose(turn))
            width, height = reversed(size) if turn in _TURNS_ON_SIDE else size
            return Picture(image, width, height, str(picture.format))
    except ServiceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureTooLarge(str(error)) from None
    except Exception as error:  # Pillow's plugins raise nearly every kind, MemoryError included.
        raise PictureUnsupported(f"{error!r:.300}") from None


def _opened(data: bytes, limits: DecodeLimits) -> ImageFile:
    """The picture with its header read and judged, nothing decoded."""
    reader = next((reader for magic, reader in _FORMATS if magic.match(data)), None)
    if reader is None:
        raise PictureUnsupported(f"begins with {data[:8]!r}")
    if reader is JpegImageFile:
        check_jpeg(data, max_scans=limits.max_jpeg_scans)
    elif reader is PngImageFile:
        check_png(data)
    elif reader is GifImageFile:
        check_gif(data)
    picture = reader(BytesIO(data))
    width, height = picture.size
    if width * height > limits.max_picture_pixels or max(width, height) > limits.max_side_px:
        raise PictureTooLarge(f"{width}x{height} px")
    return picture


def _decode_no_more_than(enough_px: int, picture: ImageFile) -> None:
    """libjpeg leaves fine detail out of each block: half of each side is a quarter of the memory."""
    longest = max(picture.size)
    if enough_px < longest:
        width, height = (max(1, side * enough_px // longest) for side in picture.size)
        picture.draft(None, (width, height))


def _as_rgb(picture: ImageFile) -> Image.Image:
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _from_deep_grey(picture)
    if picture.has_transparency_data:
        return _on_contrast(picture.convert("RGBA"))
    if picture.mode == "CMYK" and picture.format == "JPEG" and "adobe" not in picture.info:
        # Pillow takes every CMYK JPEG for Adobe's, which are stored inverted; only the marker makes it so.
        return ImageChops.invert(picture).convert("RGB")
    # `convert` copies even where there is nothing to do: 160 MB of the largest picture.
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _from_deep_grey(picture: ImageFile) -> Image.Image:
    """Grey of more than 8 bits, scaled: `convert` would clip, which turns all but black into white."""
    values = np.asarray(picture)
    if picture.mode.startswith("I;16"):
        bits = picture.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0] if isinstance(picture, TiffImageFile) else 16
        grey = values >> (bits - 8)
    else:
        grey = _stretched(values)
    return Image.fromarray(grey.astype(np.uint8, copy=False)).convert("RGB")


def _stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Such a TIFF names no range: the one found is stretched over 0-255. In strips, as each step copies."""

    def strips() -> Iterator[NDArray[np.float32]]:
        for top in range(0, len(values), _STRIP):
            yield np.nan_to_num(values[top : top + _STRIP].astype(np.float32))

    ends = [(float(strip.min()), float(strip.max())) for strip in strips()]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    factor = 255.0 / ((high - low) or 1.0)
    return np.concatenate([((strip - low) * factor).astype(np.uint8) for strip in strips()])


def _on_contrast(picture: Image.Image) -> Image.Image:
    """RGBA laid on white if what is opaque in it is dark, else on black: one of the two hides the text.

    The opaque part is what is drawn, mostly text. A picture with nothing opaque at all was written by a
    program that leaves the fourth channel at zero: it is taken without it.
    """
    opaque = picture.getchannel("A").point([0] * 128 + [255] * 128)
    counts = picture.convert("L").histogram(opaque)
    total = sum(counts)
    if total == 0:
        return picture.convert("RGB")
    luminance = sum(value * count for value, count in enumerate(counts)) / total
    ground = Image.new("RGB", picture.size, "white" if luminance < 128 else "black")
    ground.paste(picture, mask=picture)
    return ground


def _turn(picture: ImageFile) -> Image.Transpose | None:
    """What EXIF asks for. TIFF was turned by Pillow while loading, and then says 1."""
    try:
        return _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # Broken EXIF, which says nothing about the pixels.
        return None


def _bgr(rgb: Image.Image) -> Pixels:
    """In strips: Pillow hands its pixels out by way of two copies, 240 MB for the largest picture."""
    image = np.empty((rgb.height, rgb.width, 3), np.uint8)
    for top in range(0, rgb.height, _STRIP):
        strip = image[top : top + _STRIP]
        cv2.cvtColor(
            np.asarray(rgb.crop((0, top, rgb.width, top + len(strip)))), cv2.COLOR_RGB2BGR, dst=strip
        )
    return image
