"""Degradations of pages on their way to an OCR service, deterministic.

Each strength is one at which PaddleOCR begins to misread: weaker ones show no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from app.ports import Image

A4_AT_200_DPI = (2339, 1654)  # height, width


def blur(image: Image) -> Image:
    """Out of focus: Gaussian, on letters of 22 to 34 pixels."""
    return _image(cv2.GaussianBlur(image, (0, 0), 3.0))


def noise(image: Image) -> Image:
    """A dark room: Gaussian noise in each channel."""
    grain = np.random.default_rng(7).normal(0, 60, image.shape)
    return _image(np.clip(image + grain, 0, 255).astype(np.uint8))


def jpeg_30(image: Image) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])
    return _image(cv2.imdecode(data, cv2.IMREAD_COLOR))


def skew(degrees: float) -> Callable[[Image], Image]:
    """Rotate counterclockwise, on a canvas that holds the whole page, in the colour of the paper."""

    def turned(image: Image) -> Image:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
        size = (int(width * cos + height * sin), int(width * sin + height * cos))
        matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
        paper = tuple(map(int, image[0, 0]))
        return _image(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderValue=paper))

    return turned


def low_contrast(image: Image) -> Image:
    """Faded: black and white are 20 of 255 steps apart."""
    return _image((150 + image.astype(np.float32) * (20 / 255)).astype(np.uint8))


def small_text(image: Image) -> Image:
    """A screenshot that was scaled down."""
    return _image(cv2.resize(image, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA))


def on_a4(image: Image) -> Image:
    """Part of an A4 sheet scanned at 200 dpi, larger than the side limit of detection."""
    sheet = np.full((*A4_AT_200_DPI, 3), image[0, 0], np.uint8)
    top, left = 300, 200
    sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return _image(sheet)


def turned(quarters: int) -> Callable[[Image], Image]:
    """Rotate clockwise by so many quarter turns."""
    return lambda image: _image(np.ascontiguousarray(np.rot90(image, -quarters)))


def _image(array: object) -> Image:
    return np.asarray(array, np.uint8)


UPRIGHT: dict[str, Callable[[Image], Image]] = {
    "clean": lambda image: image,
    "blur, σ 3 px": blur,
    "noise, σ 60": noise,
    "JPEG 30": jpeg_30,
    "skew 3°": skew(3),
    "skew 6°": skew(6),
    "skew 10°": skew(10),
    "contrast 20/255": low_contrast,
    "letters of 7-10 px": small_text,
    "on A4, 200 dpi": on_a4,
}
TURNED: dict[str, Callable[[Image], Image]] = {
    "turned 90°": turned(1),
    "turned 180°": turned(2),
    "turned 270°": turned(3),
}
