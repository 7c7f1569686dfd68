"""A measured server: start it, send it pictures, watch its memory, stop it. `bench/contenders.py` has all."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from bench.processes import Watch, end, tree, watch_until
from config.settings import ROOT

STARTS_WITHIN_S = 120
ANSWERS_WITHIN_S = 300
BUSY_FOR_S = 120  # a server that answers only 503 for this long counts as broken


class BenchError(Exception):
    """The benchmark cannot continue; the text says why."""


@dataclass(frozen=True)
class Picture:
    name: str
    data: bytes = field(repr=False)
    url: str  # where the local picture host has it


@dataclass(frozen=True)
class Answer:
    """busy: how often the server asked to come again before it answered."""

    body: Any
    busy: int


@dataclass(frozen=True)
class Server:
    """What to start, and how to talk to it. ready_path answers with 200 once the server can read."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    home: Path
    base_url: str
    ready_path: str
    request: Callable[[Picture], dict[str, Any]]
    lines: Callable[[Any], list[str]]
    root: Path = ROOT  # where it is started

    def read(self, picture: Picture) -> Answer:
        """The parsed answer for a page. A busy server is asked again when it says so."""
        give_up, busy = time.monotonic() + BUSY_FOR_S, 0
        while True:
            # Made anew each time: ours has a nonce, which is spent only once.
            answer = requests.post(f"{self.base_url}/ocr", timeout=ANSWERS_WITHIN_S, **self.request(picture))
            if answer.status_code == 200:
                return Answer(answer.json(), busy)
            wait_s = _retry_after(answer)
            if wait_s is None or time.monotonic() + wait_s > give_up:
                raise BenchError(
                    f"{self.name} answered {answer.status_code} for {picture.name}: {answer.text[:500]}"
                )
            busy += 1
            time.sleep(wait_s)

    def ready(self) -> bool:
        try:
            return requests.get(self.base_url + self.ready_path, timeout=5).ok
        except requests.RequestException:
            return False

    def log_tail(self) -> str:
        logs = [self.home / "server.log", self.home / "log" / "error.log"]
        return "\n".join(line for log in logs if log.exists() for line in log.read_text().splitlines()[-20:])


@contextlib.contextmanager
def running(server: Server) -> Iterator[Watch]:
    """Start the server and wait until it is ready. On exit all its processes have ended."""
    with (server.home / "server.log").open("wb") as log:
        started = time.monotonic()
        process = subprocess.Popen(
            server.command, cwd=server.root, env=server.env, stdout=log, stderr=subprocess.STDOUT
        )
    watch, over = Watch(), threading.Event()
    sampler = threading.Thread(target=watch_until, args=(over, process.pid, watch), daemon=True)
    try:
        sampler.start()
        while not server.ready():
            if process.poll() is not None or time.monotonic() - started > STARTS_WITHIN_S:
                raise BenchError(f"{server.name} did not start. The end of its log:\n{server.log_tail()}")
            time.sleep(0.05)
        watch.start_s = time.monotonic() - started
        watch.at_ready = frozenset(tree(process.pid))
        yield watch
    finally:
        over.set()
        sampler.join()
        end(process)


def _retry_after(answer: requests.Response) -> float | None:
    """The Retry-After of a 503 in seconds; None for any other answer."""
    wait = answer.headers.get("Retry-After", "")
    return float(wait) if answer.status_code == 503 and wait.isdigit() else None
