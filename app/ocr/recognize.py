"""What the text says: PP-OCR's recognition network and CTC decoding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.ocr.crop import Corners, crop, width_at
from app.ocr.page import Reading
from app.ocr.tensor import Floats, Normalizer, round_up

if TYPE_CHECKING:
    from app.ocr.model_folder import RecognitionModel
    from app.ocr.runtimes import Network
    from app.ports import Image

BLANK = 0
# A line keeps its own width: PaddleOCR pads to 320 or the widest of six, and computes the padding too. It is
# only rounded up, because each new shape costs a runtime time and memory.
WIDTH_STEP = 32
# Lines of one width are read together, up to this many columns: changing the shape costs OpenVINO some 4 ms,
# as much as a short line itself. Larger batches gain nothing more.
BATCH_WIDTH = 512


class Recognizer:
    def __init__(self, model: RecognitionModel, network: Network) -> None:
        self._height = model.height
        self._characters = np.array(model.characters)
        self._network = network
        # Fixed in PaddleOCR, and not in inference.yml.
        self._normalize = Normalizer(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), scale=1 / 255)

    def recognize(self, image: Image, boxes: Sequence[Corners]) -> list[Reading]:
        """image: uint8 [height, width, 3], BGR. Lines are cropped while the network reads others."""
        widths = [round_up(width_at(box, self._height), WIDTH_STEP) for box in boxes]
        batches = _batches(widths)
        outputs = self._network.run(
            self._tensor(image, [boxes[i] for i in batch], widths[batch[0]]) for batch in batches
        )
        readings = {
            i: self._decode(line_classes, line_scores, boxes[i])
            for batch, (classes, scores) in zip(batches, outputs, strict=True)
            for i, line_classes, line_scores in zip(batch, classes, scores, strict=True)
        }
        return [readings[i] for i in range(len(boxes))]

    def _tensor(self, image: Image, boxes: Sequence[Corners], width: int) -> Floats:
        crops = [crop(image, box, height=self._height) for box in boxes]
        return self._normalize(crops, height=self._height, width=width)

    def _decode(self, classes: NDArray[np.int64], scores: NDArray[np.float32], box: Corners) -> Reading:
        """Connectionist temporal classification: a repeated class is one character, blanks part characters.

        The score is the mean over the characters that are kept, as PaddleOCR computes it.
        """
        kept = classes != BLANK
        kept[1:] &= classes[1:] != classes[:-1]
        if not kept.any():
            return Reading("", 0.0, box)
        return Reading("".join(self._characters[classes[kept]]), float(scores[kept].mean()), box)


def _batches(widths: Sequence[int]) -> list[list[int]]:
    """Indices of the lines that are read together, narrow ones first."""
    batches = []
    for width, group in groupby(sorted(range(len(widths)), key=widths.__getitem__), key=widths.__getitem__):
        lines, size = list(group), max(1, BATCH_WIDTH // width)
        batches += [lines[start : start + size] for start in range(0, len(lines), size)]
    return batches
