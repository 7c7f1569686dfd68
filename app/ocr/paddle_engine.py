"""The paddleocr package behind our protocol: slower, and the reference for what a picture says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

# Read when paddlex is imported: without it each start looks for the model hubs.
os.environ["PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK"] = "True"

import numpy as np
from paddleocr import PaddleOCR

from app.errors import RequestMalformed
from app.model.reading import Page, ReadOptions
from app.ocr.crop import text_first
from app.ocr.model_folder import load_detection, load_recognition
from app.ocr.page import RecognizedLine, assemble_page

if TYPE_CHECKING:
    from app.ports import Image


class PaddleEngine:
    """For one thread: of calls at once some raise, and others return another call's text."""

    def __init__(
        self, *, models_dir: Path, detection_model: str, recognition_model: str, cores: int, side_limit: int
    ) -> None:
        load_detection(models_dir, detection_model)  # a missing model must not be looked for on a hub
        load_recognition(models_dir, recognition_model)
        self.model = recognition_model.removesuffix("_rec")
        self.runtime = "paddleocr with onnxruntime f32"
        self._side_limit = side_limit
        self._ocr = PaddleOCR(
            text_detection_model_name=detection_model,
            text_detection_model_dir=str(models_dir / detection_model),
            text_recognition_model_name=recognition_model,
            text_recognition_model_dir=str(models_dir / recognition_model),
            use_doc_orientation_classify=False,
            use_doc_unwarping=False,
            use_textline_orientation=False,
            engine="onnxruntime",
            engine_config={"intra_op_num_threads": cores},
            device="cpu",
        )

    def read(self, image: Image, options: ReadOptions) -> Page:
        """Raises RequestMalformed for what only our own engine can do: better than to leave it undone."""
        if options.charset not in (None, "full"):
            raise RequestMalformed("the paddleocr engine reads the full charset alone", field="charset")
        if options.orient:
            raise RequestMalformed("the paddleocr engine does not turn pages", field="orient")
        [result] = self._ocr.predict(
            image, text_det_limit_type="max", text_det_limit_side_len=options.side_limit or self._side_limit
        )
        found = zip(result["rec_texts"], result["rec_scores"], result["rec_polys"], strict=True)
        readings = [
            RecognizedLine(text, float(score), text_first(np.asarray(polygon, np.float32)))
            for text, score, polygon in found
        ]
        return assemble_page(self.model, readings, options)

    def warm_up(self) -> None:
        """Nothing: what ONNX Runtime computes with is made for any shape."""
