"""Convert an image into a network's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from app.ports import Image

Floats = NDArray[np.float32]


class Normalizer:
    """Computes (value * scale - mean) / std per channel, and puts channels first."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], scale: float) -> None:
        self._factor = (scale / np.array(std)).astype(np.float32)
        self._offset = (-np.array(mean) / np.array(std)).astype(np.float32)

    def __call__(self, image: Image, *, height: int, width: int) -> Floats:
        """image: uint8 [h, w, 3], at most height x width.

        Returns float32 [1, 3, height, width], padded with zeros on the right and below.
        """
        tensor = np.zeros((1, 3, height, width), np.float32)
        for channel, plane in enumerate(cv2.split(image)):
            window = tensor[0, channel, : image.shape[0], : image.shape[1]]
            np.multiply(plane, self._factor[channel], out=window)
            window += self._offset[channel]
        return tensor


def round_up(length: int, step: int) -> int:
    return -(-length // step) * step
