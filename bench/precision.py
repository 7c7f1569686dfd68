"""Speed and accuracy of each precision: `python -m bench.precision [--images DIR]`.

Our engine without HTTP. The precisions alternate picture by picture, so that other load on the machine
disturbs all of them alike.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, get_args

import cv2
import numpy as np

from app.model.reading import ReadOptions
from app.ocr.model_folder import ModelError
from app.ocr.runtimes import Precision
from app.ports import Engine
from app.wiring.engine import build_engine
from bench import pictures, score
from bench.conditions import UPRIGHT
from bench.pages import KINDS, page
from bench.progress import say
from bench.report import table
from config.settings import Settings

if TYPE_CHECKING:
    from app.ports import Image

ROUNDS = 2
PAGES = range(40, 42)  # of each kind, under each condition
HEAD = ["", "computed in", "p50, ms", "CPU, ms", "word F1", "characters right on drawn pages, %"]


@dataclass
class Reads:
    """The lines that an engine read, and the seconds of each read: wall clock, and CPU time of all cores."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    waits_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.precision", description=__doc__)
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="pictures with a labels.json (drawn pages)"
    )
    chosen = parser.parse_args()
    files, labels = pictures.from_folder(chosen.images) if chosen.images else pictures.drawn()
    photographs = {name: cv2.imdecode(np.frombuffer(data, np.uint8), 1) for name, data in files.items()}
    engines = dict(_engines())
    measured = timed(engines, photographs)
    rows = []
    for name, reads in measured.items():
        say(f"Accuracy: {name}")
        rows.append(
            [
                name,
                engines[name].runtime,
                f"{1000 * score.percentile(reads.waits_s, 0.5):.0f}",
                f"{1000 * median(reads.cpu_s):.0f}",
                f"{score.word_f1(reads.lines, labels):.4f}",
                f"{100 * characters_right(engines[name]):.2f}",
            ]
        )
    print(table(HEAD, rows))


def _engines() -> Iterator[tuple[str, Engine]]:
    """An engine for each precision that this processor supports."""
    for precision in get_args(Precision):
        try:
            yield precision, build_engine(Settings().engine.model_copy(update={"precision": precision}))
        except ModelError as error:
            say(f"{precision}: {error}")


def timed(engines: Mapping[str, Engine], photographs: Mapping[str, Image]) -> dict[str, Reads]:
    reads = {name: Reads() for name in engines}
    for number in range(ROUNDS + 1):
        for picture, image in photographs.items():
            for name, engine in engines.items():
                started, cpu = time.perf_counter(), time.process_time()
                found = engine.read(image, ReadOptions())
                took, cpu = time.perf_counter() - started, time.process_time() - cpu
                reads[name].lines[picture] = [line.text for line in found.lines]
                if number:  # the first round prepares the shapes
                    reads[name].waits_s.append(took)
                    reads[name].cpu_s.append(cpu)
        say(f"Round {number} of {ROUNDS}" + (" (not counted)" if number == 0 else ""))
    return reads


def characters_right(engine: Engine) -> float:
    """The share of the characters of drawn pages, under all conditions."""
    wrong = characters = 0
    for degrade in UPRIGHT.values():
        for kind in KINDS:
            for number in PAGES:
                drawn = page(kind, number)
                label = score.plain(drawn.lines)
                found = [line.text for line in engine.read(degrade(drawn.image), ReadOptions()).lines]
                characters += len(label)
                wrong += min(len(label), score.edits(score.plain(found), label))
    return 1 - wrong / characters


if __name__ == "__main__":
    main()
