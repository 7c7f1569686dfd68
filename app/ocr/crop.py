"""Corners of a text line, and the picture of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from app.ports import Image

Corners = NDArray[np.float32]  # [4, 2], x and y, clockwise

TALL = 1.5  # from this ratio of height to width PaddleOCR takes the text to run along the height
MARGIN = 0.06  # of its height, on each side of a line: cut close, it loses spaces and its outer letters
MAX_WIDTH = 3200  # of a line; longer ones are squeezed, as PaddleOCR does


def text_first(corners: Corners) -> Corners:
    """The same rectangle, clockwise from the corner where its text begins: top left, for tall ones top right.

    corners: clockwise from any corner.
    """
    edges = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(edges, axis=1)
    # By angle, not by sorting coordinates: that mixes corners up on a line that climbs by 45 degrees.
    top = int(np.argmax(edges[:, 0] / np.maximum(lengths, 1e-6)))
    if int(lengths[(top + 1) % 4]) >= TALL * int(lengths[top]):
        top += 1
    return np.roll(corners, -top, axis=0)


def text_direction(corners: Corners) -> int:
    """Which way its text runs: 0 to the right, 1 down, 2 to the left (upside down), 3 up."""
    x, y = corners[1] - corners[0]
    return round(math.atan2(y, x) / (math.pi / 2)) % 4


def rotate_to(corners: Corners, direction: int) -> Corners:
    """The same rectangle for text that runs in this direction (0-3, as text_direction has it)."""
    return np.roll(corners, text_direction(corners) - direction, axis=0)


def rotate_180(corners: Corners) -> Corners:
    """The same rectangle for text that is upside down in it."""
    return np.roll(corners, 2, axis=0)


def with_margin(corners: Corners) -> Corners:
    """The rectangle with MARGIN on each side; beyond a picture's edge it is continued."""
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
    """How wide the line is, in pixels, once it is scaled to this height."""
    lengths = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    along, across = int(max(lengths[0], lengths[2])), int(max(lengths[1], lengths[3]))
    return min(math.ceil(height * max(along, 1) / max(across, 1)), MAX_WIDTH)


def crop(image: Image, corners: Corners, *, width: int, height: int) -> Image:
    """The line, upright, scaled to this size in pixels. One warp does both: a second would blur."""
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    line: Image = cv2.warpPerspective(
        image,
        cv2.getPerspectiveTransform(corners, target),
        (width, height),
        flags=cv2.INTER_LINEAR,  # as accurate as PaddleOCR's cubic, in a third of the time
        borderMode=cv2.BORDER_REPLICATE,
    )
    return line
