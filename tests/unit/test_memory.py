"""Memory that is freed goes back to the system. In a process of its own: the C library's settings stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.system.memory import resident_mb
from config.settings import ROOT
from tests.servers import free_port

# Blocks of 8 MB, every second of which is freed. They follow one of 24 MB, after which glibc would put them
# into its heap.
GAPS = """
from app.system.memory import map_large_blocks, resident_mb
{set_up}
bytearray(24_000_000)
blocks = [bytearray(8_000_000) for _ in range(20)]
full = resident_mb()
del blocks[::2]
print(full - resident_mb())
"""

# Blocks of 100 kB in the heap, of which every tenth stays.
SMALL_GAPS = """
from app.system.memory import give_back_free_pages, resident_mb
blocks = [bytearray(100_000) for _ in range(1000)]
full = resident_mb()
blocks = blocks[::10]
{set_up}
print(full - resident_mb())
"""

# Prepared, or not, and then lines of all usual widths.
WIDTHS = """
import sys
from pathlib import Path
import numpy as np
from app.system.memory import resident_mb
from app.ocr.charset import classes_of
from app.ocr.model_folder import load_recognition
from app.ocr.recognize import USUAL_WIDTH, Recognizer
from app.ocr.runtimes import open_classifier
model = load_recognition(Path(sys.argv[1]), "PP-OCRv6_small_rec")
classifier = open_classifier(
    "openvino", model.onnx, ranges=model.ranges, precision="auto", cores=2, kernel_cache=2000
)
recognizer = Recognizer(model, classifier.among(classes_of("digits", model.characters)))
image = np.full((48, USUAL_WIDTH, 3), 255, np.uint8)
def read(widths):
    boxes = [np.array([(0, 0), (w, 0), (w, 40), (0, 40)], np.float32) for w in widths]
    recognizer.recognize(image, boxes)
read([100, 1600])
small = resident_mb()
if sys.argv[2] == "warmed up":
    recognizer.warm_up()
warm = resident_mb()
read([*range(8, 400, 16), *range(400, USUAL_WIDTH * 40 // 48 - 8, 80)])
print(warm - small, resident_mb() - warm)
"""

# A worker's start, as gunicorn goes about it.
HOOKS = """
import gc, runpy
from types import SimpleNamespace
hooks = runpy.run_path("gunicorn.py")
hooks["post_fork"](None, None)
from run_ocr_flask import app
meanwhile = gc.isenabled()
hooks["post_worker_init"](SimpleNamespace(wsgi=app))
print(meanwhile, gc.isenabled(), len(gc.get_objects()))
"""


def given_back_mb(set_up: str, gaps: str = GAPS) -> float:
    code = gaps.format(set_up=set_up)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    return float(done.stdout)


def test_large_blocks_go_back_although_others_stay() -> None:
    assert given_back_mb("map_large_blocks()") > 75


def test_without_it_they_would_not() -> None:
    """If this fails, the C library does it by itself, and app.system.memory has one task less."""
    assert given_back_mb("") < 20


def test_free_pages_between_small_blocks_go_back() -> None:
    assert given_back_mb("give_back_free_pages()", SMALL_GAPS) > 75
    assert given_back_mb("", SMALL_GAPS) < 20


@pytest.mark.parametrize("begun", ["warmed up", "cold"])
def test_lines_of_usual_widths_take_no_memory_after_a_warm_up(models_dir: Path, begun: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WIDTHS, models_dir, begun],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    before_mb, after_mb = map(float, done.stdout.split())
    if begun == "cold":
        assert (before_mb, after_mb > 100) == (0, True)
    else:
        assert before_mb > 100
        assert after_mb < 0.2 * before_mb


def test_resident_size_is_what_the_kernel_says() -> None:
    with open("/proc/self/status") as status:
        [kilobytes] = [int(line.split()[1]) for line in status if line.startswith("VmRSS")]
    assert os.sysconf("SC_PAGE_SIZE") / 1e6 < resident_mb()
    assert abs(resident_mb() - kilobytes * 1024 / 1e6) < 5


def test_what_a_start_makes_is_not_looked_through_for_garbage(models_dir: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOOKS],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "FLASK_SKIP_DOTENV": "1",
            "OCR_HOME": str(tmp_path),
            "OCR_ENGINE__MODELS_DIR": str(models_dir),
            "OCR_METRICS__BIND": f"127.0.0.1:{free_port()}",
        },
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    meanwhile, afterwards, left_to_look_through = done.stdout.splitlines()[-1].split()
    assert (meanwhile, afterwards) == ("False", "True")
    assert int(left_to_look_through) < 2_000
