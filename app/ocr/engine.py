"""Our own engine: detect the lines, crop and recognize each, put them in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.model import Page, ReadOptions
from app.ocr.crop import turned
from app.ocr.detect import Detector
from app.ocr.model_folder import load_detection, load_recognition
from app.ocr.page import Reading, page
from app.ocr.recognize import Recognizer
from app.ocr.runtimes import Runtime, open_network

if TYPE_CHECKING:
    from app.ports import Image

# Of the lines of upright receipts 4 % score lower; of the same lines upside down, 84 %.
DOUBTFUL_SCORE = 0.85
# Lines come in 37 shapes, and each picture has many of them.
RECOGNITION_KERNELS = 2000


class PpOcrEngine:
    def __init__(
        self,
        *,
        models_dir: Path,
        detection_model: str,
        recognition_model: str,
        runtime: Runtime,
        cores: int,
        side_limit: int,
        max_lines: int,
    ) -> None:
        """cores: how many a read may use. side_limit: where its options name none. Raises ModelError."""
        detection = load_detection(models_dir, detection_model)
        recognition = load_recognition(models_dir, recognition_model)
        self.model = recognition_model.removesuffix("_rec")
        self._side_limit = side_limit
        self._detector = Detector(
            detection, open_network(runtime, detection.onnx, cores=cores), max_lines=max_lines
        )
        self._recognizer = Recognizer(
            recognition,
            open_network(
                runtime,
                recognition.onnx,
                cores=cores,
                streams=cores,
                best_class=True,
                kernel_cache=RECOGNITION_KERNELS,
            ),
        )

    def read(self, image: Image, options: ReadOptions) -> Page:
        boxes = self._detector.detect(image, side_limit=options.side_limit or self._side_limit)
        readings = self._recognizer.recognize(image, boxes)
        readings = self._turn_doubtful(image, readings)
        return page(self.model, readings, options)

    def _turn_doubtful(self, image: Image, readings: Sequence[Reading]) -> list[Reading]:
        """Read doubtful lines the other way up; if that was right for most of the page, all the others too.

        Costs upright pages less than a third model that looks at every line would.
        """
        best = self._turn(image, readings, below=DOUBTFUL_SCORE)
        upside_down = sum(new is not old for new, old in zip(best, readings, strict=True))
        return self._turn(image, best, below=1.0) if upside_down > len(readings) / 2 else best

    def _turn(self, image: Image, readings: Sequence[Reading], *, below: float) -> list[Reading]:
        best = list(readings)
        tried = [i for i, reading in enumerate(readings) if reading.score < below]
        others = self._recognizer.recognize(image, [turned(readings[i].corners) for i in tried])
        for i, other in zip(tried, others, strict=True):
            best[i] = max(best[i], other, key=lambda reading: reading.score)
        return best
