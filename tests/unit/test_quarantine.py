"""Crashes are real here: a child process reads a picture and is ended by a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.engine.quarantine import REFUSED_FOR_S, PictureQuarantine
from app.errors import OcrFailed
from config.settings import ROOT

ONE, OTHER = "1" * 64, "2" * 64
READER = f"""
import sys, time
from pathlib import Path
from app.engine.quarantine import PictureQuarantine

quarantine = PictureQuarantine(Path(sys.argv[1]))
quarantine.start()
with quarantine.reading("{OTHER}"):
    pass
with quarantine.reading(sys.argv[2]):
    print("reading", flush=True)
    time.sleep(60)
"""


def ended_by(ending: signal.Signals, folder: Path, digest: str = ONE) -> None:
    """A worker that reads a picture, having read OTHER, and is ended meanwhile."""
    command = [sys.executable, "-c", READER, str(folder), digest]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == "reading\n"
        read(folder, digest)  # as long as it lives, others may read the same
        worker.send_signal(ending)
        assert worker.wait() == -ending


def read(folder: Path, digest: str) -> None:
    with PictureQuarantine(folder).reading(digest):
        pass


@pytest.mark.parametrize("crash", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_what_a_worker_crashed_with_is_refused_and_nothing_else(
    tmp_path: Path, crash: signal.Signals
) -> None:
    ended_by(crash, tmp_path)
    with pytest.raises(OcrFailed):
        read(tmp_path, ONE)
    read(tmp_path, OTHER)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_worker_read_is_innocent(tmp_path: Path, end: signal.Signals) -> None:
    ended_by(end, tmp_path)
    read(tmp_path, ONE)


def test_what_is_refused_by_name_is_refused_at_once_by_all_and_nothing_else(tmp_path: Path) -> None:
    quarantine = PictureQuarantine(tmp_path)
    with quarantine.reading(ONE), quarantine.reading(OTHER):
        quarantine.refuse(ONE, "its read never ended")
    with pytest.raises(OcrFailed), quarantine.reading(ONE):
        pass
    with pytest.raises(OcrFailed):
        read(tmp_path, ONE)
    read(tmp_path, OTHER)


def test_after_ten_minutes_it_is_tried_again(tmp_path: Path) -> None:
    ended_by(signal.SIGSEGV, tmp_path)
    [file] = tmp_path.iterdir()
    long_ago = time.time() - REFUSED_FOR_S - 1
    os.utime(file, (long_ago, long_ago))
    read(tmp_path, ONE)


def test_a_worker_that_starts_tells_of_crashes_and_clears_old_files(tmp_path: Path) -> None:
    for digest in (ONE, "3" * 64):
        ended_by(signal.SIGSEGV, tmp_path, digest)
    old, recent = tmp_path.iterdir()
    os.utime(old, (1, 1))
    command = [sys.executable, "-c", READER.partition("with")[0] + "print(quarantine.start())", str(tmp_path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.count("Segmentation fault") == 1
    assert recent.exists()
    assert not old.exists()


def test_the_same_picture_may_be_read_many_times_at_once(tmp_path: Path) -> None:
    quarantine = PictureQuarantine(tmp_path)
    with quarantine.reading(ONE), quarantine.reading(ONE):
        read(tmp_path, ONE)
