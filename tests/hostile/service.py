"""The real service inside the namespace: gunicorn with its own settings, and callers to ask it."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from config.settings import ROOT, Settings
from tests.hostile.network import SERVICE_PORT
from tests.hostile.report import Report
from tests.signing import Caller

URL = f"http://127.0.0.1:{SERVICE_PORT}"
COME_BACK = (12, 17, 18)  # refused for the moment, before anything was charged
CALLERS = 40  # so that no rate limit, which is a user's, stands in the way


@dataclass(frozen=True)
class Answer:
    http: int
    code: int | None
    body: dict[str, Any]
    text: str
    seconds: float


class Service:
    """poor: a caller with a quota of one picture."""

    def __init__(self, master: subprocess.Popen[bytes], home: Path, report: Report) -> None:
        self.master = master
        self.home = home
        self.report = report
        self.poor, *made = _callers(CALLERS)
        self._turn = itertools.cycle(made)
        self._local = threading.local()

    def caller(self) -> Caller:
        return next(self._turn)

    def ask(self, caller: Caller | None = None, **fields: Any) -> Answer:
        """A signed request and its answer; asked again while it is refused for the moment."""
        for _ in range(60):
            answer = self.post((caller or self.caller()).body(**fields))
            if answer.code not in COME_BACK:
                break
            time.sleep(0.5)
        return answer

    def post(self, body: dict[str, Any]) -> Answer:
        session = self._local.__dict__.setdefault("session", requests.Session())
        started = time.monotonic()
        response = session.post(f"{URL}/ocr", json=body, timeout=90)
        seconds = time.monotonic() - started
        answer = response.json()
        code = answer["status_code"]
        self.report.answered(response.status_code, code, f"{answer} for {str(body)[:300]}")
        return Answer(response.status_code, code, answer, response.text, seconds)

    def worker(self) -> int:
        """The one worker's process id."""
        [pid] = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children").read_text().split()
        return int(pid)

    @contextmanager
    def memory(self) -> Iterator[list[float]]:
        """How many megabytes the worker's peak inside lies over what it held before."""
        pid = self.worker()
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the peak so far
        before = _status_mb(pid, "VmRSS")
        grown: list[float] = []
        yield grown
        grown.append(_status_mb(pid, "VmHWM") - before)


def _status_mb(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1000


def _callers(count: int) -> list[Caller]:
    """The first of them with a quota of one."""
    from app.wiring.services import build_services

    services = build_services(Settings(bind=f"127.0.0.1:{SERVICE_PORT}"))
    services.store.create()
    try:
        add = services.store.users.add
        rich = [Caller(f"caller-{n}", add(f"caller-{n}")) for n in range(count)]
        return [Caller("poor", add("poor", quota_limit=1)), *rich]
    finally:
        services.store.close()


@contextmanager
def running_service(home: Path, report: Report) -> Iterator[Service]:
    command = [str(Path(sys.prefix, "bin", "gunicorn")), "--config", "gunicorn.py", "run_ocr_flask:app"]
    master = subprocess.Popen(command, cwd=ROOT)
    try:
        _await_ready(master)
        yield Service(master, home, report)
        _await_ready(master)  # a worker that is just being forked misses the signal
    finally:
        master.send_signal(signal.SIGTERM)
        master.wait(90)


def _await_ready(master: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if master.poll() is not None:
            break
        try:
            if requests.get(f"{URL}/healthz", timeout=5).ok:
                return
        except requests.RequestException:  # not there yet
            pass
        time.sleep(0.1)
    raise RuntimeError("the service did not start; see log/error.log in its home")
