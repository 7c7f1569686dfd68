"""Text recognition: PP-OCR's recognition network and CTC decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.ocr.charset import BLANK
from app.ocr.crop import Corners, crop, width_at, with_margin
from app.ocr.page import RecognizedLine
from app.ocr.tensor import Floats, Normalizer

if TYPE_CHECKING:
    from app.ocr.model_folder import RecognitionModel
    from app.ocr.runtimes import Network
    from app.ports import Image

MIN_WIDTH = 32  # pixels, as all widths here
WIDTH_STEP = 16
USUAL_WIDTH = 2048  # more than a hundred letters
# PaddleOCR's constants; inference.yml does not contain them.
NORMALIZE = Normalizer(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), scale=1 / 255)


class Recognizer:
    """model: restricted to the same classes as the network."""

    def __init__(self, model: RecognitionModel, network: Network) -> None:
        self.runtime = network.runtime
        self._height = model.height
        self._characters = np.array(model.characters)
        self._network = network

    def recognize(self, image: Image, boxes: Sequence[Corners]) -> list[RecognizedLine]:
        """The text of each box, in the order of the boxes. image: uint8 [height, width, 3], BGR.

        Lines are cropped while the network reads others.
        """
        regions = [with_margin(box) for box in boxes]
        widths = [nearest_width(width_at(region, self._height)) for region in regions]
        # By width, because shape changes take an eighth of OpenVINO's time. Batches are not faster than this.
        by_width = sorted(range(len(boxes)), key=widths.__getitem__)
        outputs = self._network.run(
            line_input(image, regions[i], width=widths[i], height=self._height) for i in by_width
        )
        readings = {
            i: self._decode(classes[0], scores[0], boxes[i])
            for i, (classes, scores) in zip(by_width, outputs, strict=True)
        }
        return [readings[i] for i in range(len(boxes))]

    def warm_up(self) -> None:
        """Prepare the network for line widths up to USUAL_WIDTH."""
        for width in sorted({nearest_width(width) for width in range(1, USUAL_WIDTH + 1)}):
            self._network.prepare((1, 3, self._height, width))

    def _decode(
        self, classes: NDArray[np.int64], scores: NDArray[np.float32], box: Corners
    ) -> RecognizedLine:
        """CTC (Graves et al., 2006): a repeated class is one character, blanks separate characters.

        The score is the mean over the decoded characters, as in PaddleOCR. Spaces at both ends are dropped,
        because a restricted network outputs spaces in place of characters outside its classes.
        """
        kept = classes != BLANK
        kept[1:] &= classes[1:] != classes[:-1]
        if not kept.any():
            return RecognizedLine("", 0.0, box)
        text = "".join(self._characters[classes[kept]]).strip()
        return RecognizedLine(text, float(scores[kept].mean()), box)


def line_input(image: Image, region: Corners, *, width: int, height: int) -> Floats:
    """The network's input for a line: [1, 3, height, width]. width: nearest_width of the line.

    A line narrower than MIN_WIDTH is padded: stretched, a column of rotated text may look like a letter.
    """
    own = width_at(region, height)
    line = crop(image, region, width=width if own >= MIN_WIDTH else own, height=height)
    return NORMALIZE(line, width=width, height=height)


def nearest_width(width: int) -> int:
    """Round a width to one of few, at most an eighth away from 64 on: each new shape costs OpenVINO 8 MB.

    Recognition tolerates letters stretched by an eighth. Padding, as PaddleOCR does to 320 or to the widest
    of six lines, costs computing time and loses spaces.
    """
    step = max(WIDTH_STEP, (1 << width.bit_length() - 1) // 4)
    return max(MIN_WIDTH, (width + step // 2) // step * step)
