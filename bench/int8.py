"""INT8 beside bfloat16 and float32, on this machine: `python -m bench.int8 [--images DIR]`.

Quantises detection and recognition with NNCF, calibrated on drawn pages other than those measured, and
runs each variant in our own engine, without HTTP, in alternating rounds.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import truediv
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import cv2
import numpy as np

from app.model import ReadOptions
from app.ocr.crop import crop
from app.ocr.detect import SIDE_STEP
from app.ocr.engine import PpOcrEngine
from app.ocr.model_folder import load_detection
from app.ocr.tensor import Floats, Normalizer
from app.ports import Engine
from app.wiring import build_engine
from bench import pictures, score
from bench.accuracy import Cell
from bench.conditions import UPRIGHT
from bench.contenders import ENVIRONMENTS, install
from bench.limit import LINE_HEIGHT
from bench.pages import KINDS, page
from bench.progress import say
from bench.report import table
from config.settings import ROOT, EngineSettings, Settings

if TYPE_CHECKING:
    from app.ports import Image

WORK = ROOT / "bench" / "results" / "int8"
ROUNDS = 2
MEASURED_PAGES, CALIBRATION_PAGES = range(2), range(100, 101)  # of each kind, under each condition
CALIBRATION_LINES = 300

VARIANTS = {  # the model's suffix and what the rest of it is computed in: of detection, and of recognition
    "as shipped (auto)": (("", "auto"), ("", "auto")),
    "float32": (("", "f32"), ("", "f32")),
    "INT8, else auto": (("-int8", "auto"), ("-int8", "auto")),
    "INT8, else float32": (("-int8", "f32"), ("-int8", "f32")),
    "detection INT8, else float32; recognition auto": (("-int8", "f32"), ("", "auto")),
    "detection auto; recognition INT8, else float32": (("", "auto"), ("-int8", "f32")),
}

HEAD = ["", "p50, ms", "of as shipped", "CPU, ms", "word F1", "characters right on drawn pages, %"]


@dataclass
class Reads:
    """What an engine read, and the seconds that each read took: on the wall, and of all cores' work."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    waits_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.int8", description=__doc__)
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="pictures with a labels.json (drawn pages)"
    )
    parser.add_argument("--reuse", action="store_true", help="measure the models that a run before quantised")
    chosen = parser.parse_args()
    files, labels = pictures.from_folder(chosen.images) if chosen.images else pictures.drawn()
    photographs = {name: cv2.imdecode(np.frombuffer(data, np.uint8), 1) for name, data in files.items()}
    settings = Settings().engine
    if not chosen.reuse:
        _quantise(settings)
    engines = {name: _engine(settings, *parts) for name, parts in VARIANTS.items()}
    measured = _timed(engines, photographs)
    shipped = next(iter(measured.values()))
    rows = []
    for name, reads in measured.items():
        say(f"Accuracy: {name}")
        rows.append(
            [
                name,
                f"{1000 * score.percentile(reads.waits_s, 0.5):.0f}",
                f"{median(map(truediv, reads.waits_s, shipped.waits_s)):.2f}",
                f"{1000 * median(reads.cpu_s):.0f}",
                f"{score.word_f1(reads.lines, labels):.4f}",
                f"{100 * _characters_right(engines[name]):.2f}",
            ]
        )
    print(table(HEAD, rows))


def _engine(
    settings: EngineSettings, detection: tuple[str, str], recognition: tuple[str, str]
) -> PpOcrEngine:
    """Our engine of two halves, which the service's settings would give one precision."""
    halves = []
    for suffix, precision in (detection, recognition):
        changes = {
            "models_dir": WORK / "models",
            "detection_model": settings.detection_model + suffix,
            "recognition_model": settings.recognition_model + suffix,
            "precision": precision,
        }
        engine = build_engine(settings.model_copy(update=changes))
        assert isinstance(engine, PpOcrEngine)  # noqa: S101  for the type
        halves.append(engine)
    halves[1]._detector = halves[0]._detector
    return halves[1]


def _timed(engines: Mapping[str, Engine], photographs: Mapping[str, Image]) -> dict[str, Reads]:
    """Picture by picture, so that whatever else the machine does disturbs all engines alike."""
    reads = {name: Reads() for name in engines}
    for number in range(ROUNDS + 1):
        for picture, image in photographs.items():
            for name, engine in engines.items():
                begun, cpu = time.perf_counter(), time.process_time()
                found = engine.read(image, ReadOptions())
                took, cpu = time.perf_counter() - begun, time.process_time() - cpu
                reads[name].lines[picture] = [line.text for line in found.lines]
                if number:  # the first round prepares each shape
                    reads[name].waits_s.append(took)
                    reads[name].cpu_s.append(cpu)
        say(f"Round {number} of {ROUNDS}" + (" (not counted)" if number == 0 else ""))
    return reads


def _characters_right(engine: Engine) -> float:
    cells = []
    for _, lines, image in _drawn(MEASURED_PAGES):
        label = score.plain(lines)
        found = score.plain([line.text for line in engine.read(image, ReadOptions()).lines])
        cells.append(Cell(len(label), {"it": min(len(label), score.edits(found, label))}))
    return 1 - sum(cell.wrong["it"] for cell in cells) / sum(cell.characters for cell in cells)


def _drawn(numbers: Sequence[int]) -> Iterator[tuple[str, Sequence[str], Image]]:
    """Condition, text and picture of these pages of each kind under every condition."""
    for condition, degrade in UPRIGHT.items():
        for kind in KINDS:
            for number in numbers:
                drawn = page(kind, number)
                yield condition, drawn.lines, degrade(drawn.image)


def _quantise(settings: EngineSettings) -> None:
    """A folder of both models, and of both quantised."""
    models = WORK / "models"
    shutil.rmtree(models, ignore_errors=True)
    detection, recognition = settings.detection_model, settings.recognition_model
    for name in (detection, recognition):
        shutil.copytree(settings.models_dir / name, models / name)
    install("int8", say)
    engine = build_engine(settings)
    inputs = {
        detection: list(_detection_inputs(settings)),
        recognition: list(_recognition_inputs(engine))[:CALIBRATION_LINES],
    }
    for name, arrays in inputs.items():
        say(f"Quantising {name} on {len(arrays)} inputs (minutes) ...")
        np.savez(WORK / "inputs.npz", *arrays)
        shutil.copytree(models / name, models / f"{name}-int8")
        python, script = ENVIRONMENTS / "int8" / "bin" / "python", ROOT / "bench" / "quantize.py"
        source, target = models / name / "inference.onnx", models / f"{name}-int8"
        subprocess.run([python, script, source, WORK / "inputs.npz", target], check=True)


def _detection_inputs(settings: EngineSettings) -> Iterator[Floats]:
    model = load_detection(settings.models_dir, settings.detection_model)
    normalize = Normalizer(model.mean, model.std, model.scale)
    for _, _, image in _drawn(CALIBRATION_PAGES):
        ratio = min(1.0, settings.side_limit / max(image.shape[:2]))
        width, height = (
            max(SIDE_STEP, round(side * ratio / SIDE_STEP) * SIDE_STEP) for side in image.shape[1::-1]
        )
        yield normalize(cv2.resize(image, (width, height)), height=height, width=width)


def _recognition_inputs(engine: Engine) -> Iterator[Floats]:
    """Lines as recognition sees them, in turns from all pages."""
    normalize = Normalizer(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), scale=1 / 255)
    found = [
        (image, np.array(line.box, np.float32))
        for _, _, image in _drawn(CALIBRATION_PAGES)
        for line in engine.read(image, ReadOptions()).lines
    ]
    chance = np.random.default_rng(5)
    for i in chance.permutation(len(found)):
        image, corners = found[i]
        line = crop(image, corners, height=LINE_HEIGHT)
        yield normalize(line, height=LINE_HEIGHT, width=line.shape[1])


if __name__ == "__main__":
    main()
