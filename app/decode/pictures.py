"""Decode an untrusted file into pixels. Pure: no state, no log. Runs in the decode host."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from app.decode.header import check_bmp, check_gif, check_jpeg, check_png, webp_size
from app.decode.limits import DecodeLimits
from app.decode.strips import Strips, exif_turn
from app.decode.tiff_header import check_tiff
from app.decode.webp import WebPPicture
from app.errors import PictureTooLarge, PictureUnsupported, ServiceError
from app.model.reading import Picture

# All accepted formats. `Image.open` would try some forty, including EPS, and has a global pixel limit.
_FORMATS: tuple[tuple[re.Pattern[bytes], type[ImageFile]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), JpegImageFile),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImageFile),
    (re.compile(rb"RIFF....WEBPVP8[ LX]", re.DOTALL), WebPPicture),
    (re.compile(rb"GIF8[79]a"), GifImageFile),
    (re.compile(rb"II\*\x00|MM\x00\*"), TiffImageFile),
    (re.compile(rb"BM"), BmpImageFile),
)

_WEBP_WEIGHT = 2  # decoding a WebP takes twice the memory of other formats

# -9 is IMAGING_CODEC_MEMORY of Pillow's Imaging.h.
_OUT_OF_MEMORY = re.compile(r"out of memory|decoder error -9\Z")

DECODING = "decode"
"""The stage of an error that only decoding revealed."""

# Pillow's warnings about untrusted files quote their content, and Python remembers each text forever. The
# filter holds for the process, because `warnings.catch_warnings` is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True)
class Loaded:
    """strips: the upright pixels, possibly at a reduced size. width, height, format: as in Picture."""

    strips: Strips
    width: int
    height: int
    format: str


def decode(data: bytes, limits: DecodeLimits, *, enough_px: int | None = None) -> Picture:
    """Decode the first frame, upright, in this process. The service uses app/decode/host.py instead.

    enough_px: a JPEG may be decoded at a reduced size whose longer side is at least this many pixels.
    Raises PictureTooLarge, PictureUnsupported.
    """
    with refusals():
        loaded = load(open_picture(data, limits), enough_px)
        image = np.empty((loaded.strips.rows, loaded.strips.columns, 3), np.uint8)
        image.data.cast("B")[:] = b"".join(loaded.strips)
        return Picture(image, loaded.width, loaded.height, loaded.format)


@contextmanager
def refusals() -> Iterator[None]:
    """Convert every exception of Pillow into PictureTooLarge or PictureUnsupported."""
    try:
        yield
    except ServiceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureTooLarge(str(error)) from None
    except MemoryError:
        raise PictureTooLarge("out of memory", stage=DECODING) from None
    except Exception as error:  # Pillow's plugins raise nearly every type of exception
        if _OUT_OF_MEMORY.search(str(error)):
            raise PictureTooLarge(f"{error!r:.300}", stage=DECODING) from None
        raise PictureUnsupported(f"{error!r:.300}") from None


def open_picture(
    data: bytes, limits: DecodeLimits, make_room: Callable[[int], None] = lambda pixels: None
) -> ImageFile:
    """Check the header and open the picture, without decoding it. Raises PictureTooLarge, PictureUnsupported.

    make_room: called with the number of pixels (doubled for WebP) before memory is allocated for them.
    """
    if len(data) > limits.max_picture_bytes:
        raise PictureTooLarge(f"{len(data)} bytes over {limits.max_picture_bytes}")
    reader = next((reader for magic, reader in _FORMATS if magic.match(data)), None)
    if reader is None:
        raise PictureUnsupported(f"begins with {data[:8]!r}")
    _check_header(reader, data, limits)
    if reader is WebPPicture:
        make_room(_WEBP_WEIGHT * check_size(webp_size(data), limits))
    picture = reader(BytesIO(data))
    pixels = check_size(picture.size, limits)
    if reader is not WebPPicture:
        make_room(pixels)
    return picture


def _check_header(reader: type[ImageFile], data: bytes, limits: DecodeLimits) -> None:
    """Refuse files that are expensive to open or to decode."""
    if reader is JpegImageFile:
        check_jpeg(data, max_scans=limits.max_jpeg_scans)
    elif reader is PngImageFile:
        check_png(data)
    elif reader is GifImageFile:
        check_gif(data)
    elif reader is TiffImageFile:
        check_size(check_tiff(data), limits)
    elif reader is BmpImageFile:
        check_size(check_bmp(data), limits)


def check_size(size: tuple[int, int], limits: DecodeLimits) -> int:
    """The number of pixels. Raises PictureTooLarge."""
    width, height = size
    if width * height > limits.max_picture_pixels or max(width, height) > limits.max_side_px:
        raise PictureTooLarge(f"{width}x{height} px")
    return width * height


def load(picture: ImageFile, enough_px: int | None) -> Loaded:
    """Decode the pixels. enough_px: as in decode()."""
    width, height = picture.size
    if enough_px is not None:
        _decode_no_more_than(enough_px, picture)
    try:
        picture.load()
    except OSError:
        if isinstance(picture, JpegImageFile):
            np.empty(
                _coefficient_bytes(picture, width, height), np.uint8
            )  # MemoryError if that was the cause
        raise
    strips = Strips(picture, exif_turn(picture))
    if strips.sideways:
        width, height = height, width
    return Loaded(strips, width, height, str(picture.format))


def _coefficient_bytes(picture: JpegImageFile, width: int, height: int) -> int:
    """Memory for all coefficients of a progressive JPEG, which libjpeg holds until the last scan; else 0.

    Pillow reports a lack of this memory as a broken file. width, height: in the file.
    """
    if "progressive" not in picture.info:
        return 0
    across = max(component[1] for component in picture.layer)
    down = max(component[2] for component in picture.layer)
    return sum(2 * (width * h // across) * (height * v // down) for _, h, v, _ in picture.layer)


def _decode_no_more_than(enough_px: int, picture: ImageFile) -> None:
    """Let libjpeg decode at a reduced size: half of each side takes a quarter of the memory."""
    longest = max(picture.size)
    if enough_px < longest:
        width, height = (max(1, side * enough_px // longest) for side in picture.size)
        picture.draft(None, (width, height))
