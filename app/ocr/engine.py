"""The built-in OCR engine: detect the lines, crop and recognize each line, put them in reading order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.model.reading import Page, ReadOptions
from app.ocr.charset import Charset, classes_of
from app.ocr.detect import Detector
from app.ocr.model_folder import load_detection, load_recognition
from app.ocr.orient import read_upright
from app.ocr.page import assemble_page
from app.ocr.recognize import Recognizer
from app.ocr.reread import reread
from app.ocr.runtimes import Precision, Runtime, open_classifier, open_network
from app.ocr.stopwatch import Stopwatch

if TYPE_CHECKING:
    from app.ports import Image

# Kernels in OpenVINO's cache. Lines have 25 shapes, and each picture has many lines.
DETECTION_KERNELS = 50  # with 500, a worker needs 50 MB more
RECOGNITION_KERNELS = 2000


class PpOcrEngine:
    def __init__(
        self,
        *,
        models_dir: Path,
        detection_model: str,
        recognition_model: str,
        runtime: Runtime,
        precision: Precision,
        cores: int,
        side_limit: int,
        max_lines: int,
        charset: Charset = "full",
        prepare_widths: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """cores: CPU cores for one read. side_limit (pixels), charset: defaults of the request's options.

        prepare_widths: warm_up prepares the usual line widths; otherwise the first line of a width is slow.
        Raises ModelError.
        """
        detection = load_detection(models_dir, detection_model)
        self._recognition = load_recognition(models_dir, recognition_model)
        self.model = recognition_model.removesuffix("_rec")
        network = open_network(
            runtime, detection.onnx, precision=precision, cores=cores, kernel_cache=DETECTION_KERNELS
        )
        self._detector = Detector(detection, network, side_limit=side_limit, max_lines=max_lines)
        self._classifier = open_classifier(
            runtime,
            self._recognition.onnx,
            ranges=self._recognition.ranges,
            precision=precision,
            cores=cores,
            kernel_cache=RECOGNITION_KERNELS,
        )
        self._monotonic = monotonic
        self._charset = charset
        self._prepare_widths = prepare_widths
        self._recognizers = {charset: self._restricted(charset)}
        self.runtime = self._recognizers[charset].runtime

    def read(self, image: Image, options: ReadOptions) -> Page:
        detection, recognition = Stopwatch(self._monotonic), Stopwatch(self._monotonic)
        detect = detection.timed(partial(self._detector.detect, side_limit=options.side_limit))
        recognize = recognition.timed(self._recognizer(options.charset or self._charset).recognize)
        if options.orient:
            readings = read_upright(image, detect, recognize)
        else:
            readings = reread(recognize(image, detect(image)), partial(recognize, image))
        done = assemble_page(self.model, readings, options)
        return replace(done, detection_ms=detection.ms, recognition_ms=recognition.ms)

    def warm_up(self) -> None:
        if self._prepare_widths:
            self._recognizers[self._charset].warm_up()

    def _recognizer(self, charset: Charset) -> Recognizer:
        """Built on first use. Two threads may build it at once; both results are equal."""
        if charset not in self._recognizers:
            self._recognizers[charset] = self._restricted(charset)
        return self._recognizers[charset]

    def _restricted(self, charset: Charset) -> Recognizer:
        classes = classes_of(charset, self._recognition.characters)
        return Recognizer(self._recognition.among(classes), self._classifier.among(classes))
