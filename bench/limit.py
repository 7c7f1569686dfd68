"""The limit of the machine: the arithmetic of the models, against the rate of a matrix product."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.ocr.crop import width_at, with_margin
from app.ocr.detect import SIDE_STEP
from app.ocr.recognize import nearest_width
from app.ocr.runtimes.processor import extensions
from app.ocr.tensor import round_up

NOTE = (
    "It is the arithmetic of the models at the shapes used, over the time taken at the most clients, over "
    "the rate of a float32 matrix product; above 1 where narrower numbers are multiplied. "
    "With --precision f32 like is compared with like."
)
SIDE_LIMIT = 960  # the service's default
LINE_HEIGHT = 48
# Of PP-OCRv6_small: 9.75 GFLOP at 960 x 480, and 2.18 GFLOP for a line of 48 x 320.
DETECTION_FLOP_A_PIXEL = 9.75e9 / (960 * 480)
RECOGNITION_FLOP_A_COLUMN = 2.18e9 / 320


def flop(answer: Mapping[str, Any]) -> float:
    """Arithmetic of the models for one answer of ours, at the shapes that our engine uses for it.

    Lines that the answer leaves out (low scores) and second looks, at doubtful lines and at small text, are
    work, but not counted.
    """
    width, height = answer["picture"]["width"], answer["picture"]["height"]
    ratio = min(1.0, SIDE_LIMIT / max(width, height))
    sides = [round_up(max(1, round(side * ratio)), SIDE_STEP) for side in (width, height)]
    boxes = [np.array(line["box"], np.float32) for line in answer["lines"]]
    columns = sum(nearest_width(width_at(with_margin(box), LINE_HEIGHT)) for box in boxes)
    return DETECTION_FLOP_A_PIXEL * math.prod(sides) + RECOGNITION_FLOP_A_COLUMN * columns


def sgemm_flop_a_second(size: int = 2048, repeats: int = 12) -> float:
    """Rate of the fastest of several float32 matrix products, on all cores."""
    left, right = np.random.default_rng(1).random((2, size, size), np.float32)
    fastest = math.inf
    for _ in range(repeats):
        started = time.perf_counter()
        left @ right
        fastest = min(fastest, time.perf_counter() - started)
    return float(2 * size**3 / fastest)


def machine() -> dict[str, Any]:
    """The processor, the memory and the load before the run, which a reader needs to judge the figures."""
    pairs = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    known = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    return {
        "processor": facts.get("model name", "unknown"),
        "cores": len(os.sched_getaffinity(0)),
        "extensions": [name for name in known if name in extensions()],
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 2),
    }
