"""The paddleocr package as an engine: slower than the built-in one, and the reference for its accuracy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

# paddlex reads it on import; without it, paddlex contacts model hubs at every start.
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
    """Not thread-safe: concurrent calls raise, or return another call's text."""

    def __init__(
        self, *, models_dir: Path, detection_model: str, recognition_model: str, cores: int, side_limit: int
    ) -> None:
        load_detection(models_dir, detection_model)  # fail here, or paddleocr looks for the model on a hub
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
        """Raises RequestMalformed for options that only the built-in engine supports."""
        if options.charset not in (None, "full"):
            raise RequestMalformed("the paddleocr engine supports only charset full", field="charset")
        if options.orient:
            raise RequestMalformed("the paddleocr engine does not support orient", field="orient")
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
        """Nothing to do: ONNX Runtime's kernels fit any shape."""
