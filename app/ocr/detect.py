"""Text detection: PP-OCR's detection network and DB post-processing (Liao et al., 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from app.ocr.crop import Corners, text_first
from app.ocr.tensor import Normalizer, round_up

if TYPE_CHECKING:
    from app.ocr.model_folder import DetectionModel
    from app.ocr.runtimes import Network
    from app.ports import Image

SIDE_STEP = 64  # pixels. The network needs 32; 64 halves the number of shapes, each of which costs memory
MIN_SIDE = 3  # shorter side of a text kernel, in pixels of the probability map; PaddleOCR's value
MIN_GROWN_SIDE = 5  # the same after the kernel is grown to the whole line
# Median line height in pixels of the probability map, below which lines are missed or split: detection then
# runs again on the enlarged image. The lowest median of 24 receipts is 15; text of 8 px has 10.
SMALL_TEXT = 12
ENLARGED = 2


class Detector:
    def __init__(self, model: DetectionModel, network: Network, *, side_limit: int, max_lines: int) -> None:
        self._model = model
        self._network = network
        self._normalize = Normalizer(model.mean, model.std, model.scale)
        self._side_limit = side_limit
        self._max_lines = max_lines

    def detect(self, image: Image, *, side_limit: int | None = None) -> list[Corners]:
        """Find text lines. image: uint8 [height, width, 3], BGR, scaled down to side_limit pixels if longer.

        side_limit: None means the engine's default, and ENLARGED times that if the text found is small.
        Returns at most max_lines quads in image pixels, clockwise from where the text begins, unordered.
        """
        scale = min(1.0, (side_limit or self._side_limit) / max(image.shape[:2]))
        boxes = self._detect(image, scale)
        if side_limit is None and boxes and np.median([_height(box) for box in boxes]) * scale < SMALL_TEXT:
            boxes = self._detect(image, scale * ENLARGED)
        return boxes

    def _detect(self, image: Image, scale: float) -> list[Corners]:
        scaled = _scaled(image, scale)
        height, width = scaled.shape[:2]
        tensor = self._normalize(scaled, height=round_up(height, SIDE_STEP), width=round_up(width, SIDE_STEP))
        [(probability,)] = self._network.run([tensor])
        boxes = self._boxes(probability[0, 0, :height, :width])
        back = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        limit = np.array([image.shape[1], image.shape[0]], np.float32)
        return [text_first(np.clip(np.rint(box * back), 0, limit)) for box in boxes]

    def _boxes(self, probability: NDArray[np.float32]) -> list[Corners]:
        """Corners of the text lines in pixels of the probability map."""
        text = (probability > self._model.thresh).astype(np.uint8)
        contours, _ = cv2.findContours(text, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        boxes = []
        for contour in contours[: self._model.max_candidates]:
            center, (width, height), angle = cv2.minAreaRect(contour)
            if min(width, height) < MIN_SIDE:
                continue
            kernel = cv2.boxPoints((center, (width, height), angle))
            if _mean_inside(probability, kernel) < self._model.box_thresh:
                continue
            # The network marks text shrunk by area * ratio / perimeter on each side: undo it.
            grown = self._model.unclip_ratio * width * height / (width + height)
            if min(width, height) + grown < MIN_GROWN_SIDE:
                continue
            boxes.append(cv2.boxPoints((center, (width + grown, height + grown), angle)))
        return boxes[: self._max_lines]


def _scaled(image: Image, scale: float) -> Image:
    if scale == 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    interpolation = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    scaled: Image = cv2.resize(image, size, interpolation=interpolation)
    return scaled


def _height(box: Corners) -> float:
    """Text height of the line in pixels, in any direction."""
    return float(np.linalg.norm(box[1:3] - box[0:2], axis=1).min())


def _mean_inside(probability: NDArray[np.float32], box: Corners) -> float:
    limit = np.array(probability.shape[::-1]) - 1
    left, top = np.clip(np.floor(box.min(axis=0)).astype(int), 0, limit)
    right, bottom = np.clip(np.ceil(box.max(axis=0)).astype(int), 0, limit)
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [(box - (left, top)).astype(np.int32)], 1)
    return float(cv2.mean(probability[top : bottom + 1, left : right + 1], mask)[0])
