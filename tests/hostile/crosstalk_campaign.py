"""A hundred different texts at once while workers are killed: each caller gets its own text, or none."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from samples.draw import numbered
from tests.hostile.report import Report
from tests.hostile.service import Answer, Service
from tests.hostile.world import ticket

TEXTS = 100
KILLED_EVERY_S = 4
PATIENCE_S = 180


def run(service: Service, report: Report, *, quick: bool) -> None:
    over = threading.Event()
    killed: list[int] = []

    def kill() -> None:
        while not over.wait(KILLED_EVERY_S):
            try:
                pid = service.worker()
            except (ValueError, OSError):  # none at the moment
                continue
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        rounds = 1 if quick else 3
        with ThreadPoolExecutor(TEXTS) as pool:
            for n, answer in zip(
                range(rounds * TEXTS),
                pool.map(lambda n: _read(service, n), range(rounds * TEXTS)),
                strict=True,
            ):
                expected = "\n".join(numbered(n).lines)
                report.case(answer.body.get("result") == expected, f"ticket {n} and not {answer.text[:200]}")
    finally:
        over.set()
        killer.join()
    report.measured("workers killed meanwhile", len(killed), "cross-talk", limit=float("inf"))
    report.case(bool(killed), "no worker was killed meanwhile")


def _read(service: Service, n: int) -> Answer:
    """Asked until there is an answer: a killed worker gives none."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            return service.ask(picture=ticket(n))
        except (requests.RequestException, ValueError):
            if time.monotonic() > give_up:
                raise
            time.sleep(0.3)
