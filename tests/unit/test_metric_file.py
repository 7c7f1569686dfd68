"""Metrics of a worker whose disk is full. In a process of their own: a hole in a mapped file ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from config.settings import ROOT
from tests.disks import small_disk

COUNT = """
import os, sys, time
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.multiprocess import MultiProcessCollector
from app.telemetry import metric_file
from tests.disks import SmallDisk
from pathlib import Path

def shown():
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)
    return sum(sample.value for metric in registry.collect() for sample in metric.samples
               if sample.name == "pictures_total")

metric_file.use_metric_files()
folder, when = os.environ["PROMETHEUS_MULTIPROC_DIR"], sys.argv[1]
disk = SmallDisk(Path(folder))
if when == "from the start":
    disk.fill()
registry = CollectorRegistry()
pictures = Counter("pictures", "P.", ["format"], registry=registry)
pictures.labels("first").inc()
if when == "later":
    assert shown() == 1
    disk.fill()
for n in range(1000):  # far more than the file had room for
    pictures.labels(f"format {n}").inc()
Gauge("length", "L.", multiprocess_mode="livesum", registry=registry).set(3)
assert shown() < 1001
disk.empty()
time.sleep(metric_file.RETRY_S)
pictures.labels("last").inc()
assert shown() == 1002, shown()
for file in Path(folder).glob("counter_*"):
    assert file.stat().st_blocks * 512 >= file.stat().st_size > 100_000  # no hole
"""


def count(folder: Path, when: str) -> None:
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, when], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.returncode} {done.stderr}"


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        count(disk.folder, "from the start")


def test_a_disk_that_is_full_when_the_file_grows(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        count(disk.folder, "later")
