"""Where the text is: PP-OCR's detection network and DB post-processing (Liao et al., 2020)."""

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

SIDE_STEP = 64  # the network needs 32; twice that halves the shapes, each of which costs a runtime memory
MIN_SIDE = 3  # of a text kernel in the probability map, in pixels; PaddleOCR's
MIN_GROWN_SIDE = 5  # and once it is grown to the whole line


class Detector:
    def __init__(self, model: DetectionModel, network: Network, *, max_lines: int) -> None:
        self._model = model
        self._network = network
        self._normalize = Normalizer(model.mean, model.std, model.scale)
        self._max_lines = max_lines

    def detect(self, image: Image, *, side_limit: int) -> list[Corners]:
        """image: uint8 [height, width, 3], BGR; it is shrunk until its longest side is side_limit pixels.

        Returns at most max_lines quads in image pixels, clockwise from where the text begins, in no order.
        """
        small = _shrink(image, side_limit)
        height, width = small.shape[:2]
        tensor = self._normalize(small, height=round_up(height, SIDE_STEP), width=round_up(width, SIDE_STEP))
        [(probability,)] = self._network.run([tensor])
        boxes = self._boxes(probability[0, 0, :height, :width])
        scale = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        limit = np.array([image.shape[1], image.shape[0]], np.float32)
        return [text_first(np.clip(np.rint(box * scale), 0, limit)) for box in boxes]

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
            # The network marks text shrunk by area * ratio / perimeter on each side. Growing a rectangle back
            # takes no polygon library.
            grown = self._model.unclip_ratio * width * height / (width + height)
            if min(width, height) + grown < MIN_GROWN_SIDE:
                continue
            boxes.append(cv2.boxPoints((center, (width + grown, height + grown), angle)))
        return boxes[: self._max_lines]


def _shrink(image: Image, side_limit: int) -> Image:
    height, width = image.shape[:2]
    ratio = side_limit / max(height, width)
    if ratio >= 1:
        return image
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small: Image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return small


def _mean_inside(probability: NDArray[np.float32], box: Corners) -> float:
    limit = np.array(probability.shape[::-1]) - 1
    left, top = np.clip(np.floor(box.min(axis=0)).astype(int), 0, limit)
    right, bottom = np.clip(np.ceil(box.max(axis=0)).astype(int), 0, limit)
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [(box - (left, top)).astype(np.int32)], 1)
    return float(cv2.mean(probability[top : bottom + 1, left : right + 1], mask)[0])
