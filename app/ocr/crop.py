"""Geometry of a text line's corners, and the cropped image of the line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from app.ports import Image

Corners = NDArray[np.float32]  # [4, 2], x and y, clockwise

TALL = 1.5  # ratio of height to width from which PaddleOCR treats text as vertical
MARGIN = 0.06  # margin around a line, as a part of its height: without it, spaces and outer letters are lost
MAX_WIDTH = 3200  # pixels; longer lines are squeezed, as in PaddleOCR


def text_first(corners: Corners) -> Corners:
    """The same rectangle, clockwise from the corner where its text begins: top left; top right if it is TALL.

    corners: clockwise from any corner.
    """
    edges = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(edges, axis=1)
    # By angle: sorting coordinates confuses the corners of a line that is inclined by 45 degrees.
    top = int(np.argmax(edges[:, 0] / np.maximum(lengths, 1e-6)))
    if int(lengths[(top + 1) % 4]) >= TALL * int(lengths[top]):
        top += 1
    return np.roll(corners, -top, axis=0)


def text_direction(corners: Corners) -> int:
    """Direction of the text: 0 to the right, 1 down, 2 to the left (upside down), 3 up."""
    x, y = corners[1] - corners[0]
    return round(math.atan2(y, x) / (math.pi / 2)) % 4


def rotate_to(corners: Corners, direction: int) -> Corners:
    """The same rectangle for text in this direction (see text_direction)."""
    return np.roll(corners, text_direction(corners) - direction, axis=0)


def rotate_180(corners: Corners) -> Corners:
    """The same rectangle for upside-down text."""
    return np.roll(corners, 2, axis=0)


def with_margin(corners: Corners) -> Corners:
    """The rectangle with MARGIN on each side; it may extend beyond the image."""
    edges = np.roll(corners, -1, axis=0) - corners
    along, across = (edge / max(float(np.linalg.norm(edge)), 1e-6) for edge in edges[:2])
    margin = MARGIN * float(np.linalg.norm(edges, axis=1).min())
    outwards = np.array([-along - across, along - across, along + across, -along + across], np.float32)
    grown: Corners = corners + margin * outwards
    return grown


def elongation(corners: Corners) -> float:
    """Length of the line as a multiple of its height."""
    along, across = np.linalg.norm(corners[1:3] - corners[0:2], axis=1)
    return float(along / max(across, 1))


def width_at(corners: Corners, height: int) -> int:
    """Width of the line in pixels after scaling it to this height, at most MAX_WIDTH."""
    lengths = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    along, across = int(max(lengths[0], lengths[2])), int(max(lengths[1], lengths[3]))
    return min(math.ceil(height * max(along, 1) / max(across, 1)), MAX_WIDTH)


def crop(image: Image, corners: Corners, *, width: int, height: int) -> Image:
    """The upright line, scaled to this size in pixels by a single warp: a second warp would blur it."""
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    line: Image = cv2.warpPerspective(
        image,
        cv2.getPerspectiveTransform(corners, target),
        (width, height),
        flags=cv2.INTER_LINEAR,  # as accurate as PaddleOCR's cubic interpolation, in a third of the time
        borderMode=cv2.BORDER_REPLICATE,
    )
    return line
