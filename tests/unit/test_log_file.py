"""Log files under several writers, beyond their size, moved away, and on a full disk."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from app.telemetry.log_file import LogFile
from app.telemetry.logs import JsonLines
from config.settings import ROOT
from tests.disks import small_disk

MAX_BYTES = 100_000
WRITE = """
import logging, sys
from app.telemetry.log_file import LogFile
log = logging.getLogger("writer")
log.addHandler(LogFile(sys.argv[1], int(sys.argv[2])))
for n in range(2000):
    log.warning("%s %d %s", sys.argv[3], n, "x" * (n % 300))
"""


def logger(file: Path) -> logging.Logger:
    made = logging.Logger("test")
    handler = LogFile(str(file))
    handler.setFormatter(JsonLines())
    made.addHandler(handler)
    return made


def events(file: Path) -> list[str]:
    return [json.loads(line)["event"] for line in file.read_text().splitlines()]


def test_several_writers_keep_their_lines_whole_and_the_file_within_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(file), str(MAX_BYTES), str(n)], cwd=ROOT)
        for n in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert {path.name for path in tmp_path.iterdir()} == {"a.log", "a.log.old"}
    newest: dict[str, int] = {}
    for part in (tmp_path / "a.log.old", file):
        assert 0 < part.stat().st_size < MAX_BYTES + 4 * 400
        for line in part.read_text().splitlines():
            writer, n, *_ = line.split(" ")
            assert line == f"{writer} {n} {'x' * (int(n) % 300)}"
            assert newest.get(writer, int(n) - 1) == int(n) - 1
            newest[writer] = int(n)
    assert 1999 in newest.values()


def test_it_follows_when_the_file_is_moved_or_removed(tmp_path: Path) -> None:
    log = logger(tmp_path / "a.log")
    log.warning("first")
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    log.warning("second")
    assert (events(tmp_path / "a.log.1"), events(tmp_path / "a.log")) == (["first"], ["second"])
    (tmp_path / "a.log").unlink()
    log.warning("third")
    assert events(tmp_path / "a.log") == ["third"]
    log.handlers[0].close()


def test_a_full_disk_drops_whole_lines_and_their_number_is_written_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        log = logger(disk.folder / "a.log")
        log.warning("before")
        disk.fill()
        for _ in range(10):
            log.warning("x" * 1500)  # the last that fits ends within a block
        written = len(events(disk.folder / "a.log")) - 1
        assert written < 10
        (disk.folder / "a.log").rename(disk.folder / "a.log.1")
        log.warning("y" * 5000)
        disk.empty()
        log.warning("after")
        assert events(disk.folder / "a.log") == [f"{11 - written} log lines could not be written", "after"]
        log.handlers[0].close()
    assert capsys.readouterr().err == ""


def test_what_else_hinders_it_is_said_at_the_start_and_raises_in_no_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logger(tmp_path)  # a folder
    with pytest.raises(IsADirectoryError):
        LogFile(str(tmp_path)).check()
    log.warning("lost")
    assert "IsADirectoryError" in capsys.readouterr().err


RELOAD = """
import logging, logging.config, os, runpy, sys
from pathlib import Path
folder = Path(sys.argv[1])
def configure():
    log_config = runpy.run_path("deploy/gunicorn_logs.py")["log_config"]
    logging.config.dictConfig({"version": 1} | log_config(folder, 1))
configure()
configure()
log = logging.getLogger("gunicorn.error")
log.error("GET /usage?sign=secret\\x1b[2J")
folder.rename(f"{folder}.old")
folder.touch()
configure()
log.error("lost")
folder.unlink()
Path(f"{folder}.old").rename(folder)
log.error("after")
"""


def test_gunicorns_logs_outlive_a_reload_whatever_hinders_them(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RELOAD, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "NotADirectoryError" in done.stderr
    lines = (folder / "error.log").read_text().splitlines()
    assert [line.split("] ")[-1] for line in lines] == [
        "GET /usage?...",
        "1 log lines could not be written",
        "after",
    ]


def test_a_wrong_folder_stops_gunicorns_start(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    code = RELOAD.replace("configure()\nconfigure()", "configure()")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log")], cwd=ROOT, capture_output=True, text=True
    )
    assert "NotADirectoryError" in done.stderr and done.returncode == 1
