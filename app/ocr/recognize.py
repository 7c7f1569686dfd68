"""What the text says: PP-OCR's recognition network and CTC decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.ocr.crop import Corners, crop, width_at
from app.ocr.tensor import Floats, Normalizer, round_up

if TYPE_CHECKING:
    from app.ocr.models import RecognitionModel
    from app.ocr.runtimes import Network
    from app.ports import Image

BLANK = 0
WIDTH_STEP = 32
BATCH_WIDTH = 512


@dataclass(frozen=True, slots=True)
class Reading:
    """score: mean probability of the characters, 0 without any."""

    text: str
    score: float


class Recognizer:
    def __init__(self, model: RecognitionModel, network: Network) -> None:
        self._height = model.height
        self._characters = model.characters
        self._network = network
        self._normalize = Normalizer((0.5,) * 3, (0.5,) * 3, 1 / 255)  # fixed in PaddleOCR, not in inference.yml

    def recognize(self, image: Image, boxes: Sequence[Corners]) -> list[Reading]:
        widths = [round_up(width_at(box, self._height), WIDTH_STEP) for box in boxes]
        batches = _batches(widths)
        outputs = self._network.run(self._tensor(image, [boxes[i] for i in batch], widths[batch[0]]) for batch in batches)
        readings = {}
        for batch, (classes, scores) in zip(batches, outputs, strict=True):
            readings.update(zip(batch, map(self._decode, classes, scores), strict=True))
        return [readings[i] for i in range(len(boxes))]

    def _tensor(self, image: Image, boxes: Sequence[Corners], width: int) -> Floats:
        crops = [crop(image, box, height=self._height) for box in boxes]
        return self._normalize(crops, height=self._height, width=width)

    def _decode(self, classes: NDArray[np.int64], scores: NDArray[np.float32]) -> Reading:
        """Connectionist temporal classification: a class that repeats is one character, blanks part them."""
        kept = classes != BLANK
        kept[1:] &= classes[1:] != classes[:-1]
        if not kept.any():
            return Reading("", 0.0)
        return Reading("".join(self._characters[i] for i in classes[kept]), float(scores[kept].mean()))


def _batches(widths: Sequence[int]) -> list[list[int]]:
    """Indices of lines that are read together: of one width, and as many as fit into BATCH_WIDTH."""
    batches = []
    by_width = sorted(range(len(widths)), key=widths.__getitem__)
    for width, group in groupby(by_width, widths.__getitem__):
        batches += batched(group, max(1, BATCH_WIDTH // width))
    return batches


def batched(x,n):
    x=list(x); return [x[i:i+n] for i in range(0,len(x),n)]
