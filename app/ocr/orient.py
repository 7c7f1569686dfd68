"""Pages that lie on their side or upside down: turned first, then read.

Boxes and recognition manage without, but detection misses some short words of text that runs up or down the
picture: 0.9 points of word F1 on receipts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from app.ocr.crop import Corners, elongation
from app.ocr.page import RecognizedLine
from app.ocr.reread import DOUBTFUL_SCORE, main_direction, reread

if TYPE_CHECKING:
    from app.ports import Image

# Lines that are read to learn which way the page lies. The longest are the least ambiguous.
PROBES = 8

Detect = Callable[["Image"], list[Corners]]
Recognize = Callable[["Image", Sequence[Corners]], list[RecognizedLine]]


def read_upright(image: Image, detect: Detect, recognize: Recognize) -> list[RecognizedLine]:
    """What `reread` makes of the picture as it lies if its text is clearly upright, else of it turned.

    Corners are in the pixels of the picture as it was given. A page whose longest lines are clearly upright
    is read once; where nothing is clear, up to four times.
    """

    def again(view: Image, readings: Sequence[RecognizedLine]) -> list[RecognizedLine]:
        return reread(readings, lambda boxes: recognize(view, boxes))

    def read(turns: int) -> list[RecognizedLine]:
        view = np.ascontiguousarray(np.rot90(image, turns))
        readings = again(view, recognize(view, detect(view)))
        return [replace(r, corners=turned_back(r.corners, turns, image.shape)) for r in readings]

    boxes = sorted(detect(image), key=elongation, reverse=True)
    probed = recognize(image, boxes[:PROBES])
    if main_direction(probed) == 0 and _clear(probed):
        return again(image, probed + recognize(image, boxes[PROBES:]))
    best: list[RecognizedLine] = []
    guess = main_direction(again(image, probed))
    for turns in (guess, (guess + 2) % 4, (guess + 1) % 4, (guess + 3) % 4) if boxes else ():
        best = max(best, read(turns), key=_sure)
        if _clear(best):
            break
    return best


def turned_back(corners: Corners, turns: int, shape: tuple[int, ...]) -> Corners:
    """Corners in a picture that np.rot90 turned this often, in the one before. shape: of the one before."""
    height, width = shape[:2]
    x, y = corners.T
    back = [(x, y), (width - y, x), (width - x, height - y), (y, height - x)][turns]
    return np.stack(back, axis=1)


def _sure(readings: Sequence[RecognizedLine]) -> int:
    """Characters in lines that are not doubtful."""
    return sum(len(reading.text) for reading in readings if reading.score >= DOUBTFUL_SCORE)


def _clear(readings: Sequence[RecognizedLine]) -> bool:
    return _sure(readings) > sum(len(reading.text) for reading in readings) / 2
