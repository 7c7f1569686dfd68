"""Measure the ranges of the inputs of a recognition model's convolutions, which int8 needs.

    python -m bench.calibrate [FILE]      (ranges.json in the model's folder)

It reads lines of drawn pages, clean and degraded, other than the pages of `make bench`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import openvino

from app.model.reading import ReadOptions
from app.ocr.crop import width_at, with_margin
from app.ocr.model_folder import load_recognition
from app.ocr.recognize import line_input, nearest_width
from app.ocr.runtimes.openvino_classifier import split_last_layer
from app.ocr.runtimes.openvino_int8 import quantisable
from app.ocr.tensor import Floats
from app.wiring.engine import build_engine
from bench.conditions import UPRIGHT
from bench.pages import KINDS, page
from bench.progress import say
from config.settings import EngineSettings, Settings

PAGES = range(100, 101)  # of each kind, under each condition
LINES = 300
# Of a line's values: the few outliers would widen the range, and with it each of its 256 steps.
PERCENTILES = (0.01, 99.99)


def main() -> None:
    settings = Settings().engine
    folder = settings.models_dir / settings.recognition_model
    parser = argparse.ArgumentParser(prog="python -m bench.calibrate", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=folder / "ranges.json", metavar="FILE")
    chosen = parser.parse_args()
    measured = ranges(settings)
    text = ",\n".join(
        f"  {json.dumps(name)}: [{low:.4g}, {high:.4g}]" for name, (low, high) in measured.items()
    )
    chosen.file.write_text(f"{{\n{text}\n}}\n")
    say(f"{len(measured)} convolutions over {LINES} lines. Written: {chosen.file}")


def ranges(settings: EngineSettings) -> dict[str, tuple[float, float]]:
    """Smallest and largest input of each convolution that can be computed in 8-bit integers."""
    model = load_recognition(settings.models_dir, settings.recognition_model)
    backbone, _ = split_last_layer(model.onnx)
    names = [node.get_friendly_name() for node in quantisable(backbone)]
    inputs = openvino.Model(
        [node.input_value(0) for node in quantisable(backbone)], backbone.get_parameters()
    )
    probe = openvino.Core().compile_model(inputs, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = [
        [np.percentile(values, PERCENTILES) for values in probe(line).values()]
        for line in islice(_lines(settings, model.height), LINES)
    ]
    lowest, highest = np.min(found, axis=0)[:, 0], np.max(found, axis=0)[:, 1]
    return dict(zip(names, zip(lowest, highest, strict=True), strict=True))


def _lines(settings: EngineSettings, height: int) -> Iterator[Floats]:
    """Inputs of recognition, in a fixed random order over all pages."""
    engine = build_engine(settings.model_copy(update={"precision": "f32"}))
    drawn = [degrade(page(kind, n).image) for degrade in UPRIGHT.values() for kind in KINDS for n in PAGES]
    found = [
        (image, np.array(line.box, np.float32))
        for image in drawn
        for line in engine.read(image, ReadOptions()).lines
    ]
    for i in np.random.default_rng(5).permutation(len(found)):
        image, corners = found[i]
        region = with_margin(corners)
        yield line_input(image, region, width=nearest_width(width_at(region, height)), height=height)


if __name__ == "__main__":
    main()
