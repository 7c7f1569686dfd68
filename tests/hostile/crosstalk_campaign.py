"""A hundred different texts at once while workers are killed: each caller gets its own text."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import requests

from samples.draw import numbered
from tests.hostile.report import Report
from tests.hostile.service import Answer, Service
from tests.hostile.world import ticket

AT_ONCE = 100
KILLED_EVERY = 50  # answers
PATIENCE_S = 180


def run(service: Service, report: Report, *, quick: bool) -> None:
    numbers = range(AT_ONCE if quick else 3 * AT_ONCE)
    killed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for n, answer in zip(numbers, pool.map(lambda n: _read(service, n), numbers), strict=True):
            expected = "\n".join(numbered(n).lines)
            report.case(answer.body.get("result") == expected, f"ticket {n} and not {answer.text[:200]}")
            if n % KILLED_EVERY == KILLED_EVERY // 2:
                killed += _kill_worker(service)
    report.measured("workers killed meanwhile", killed, "cross-talk", limit=float("inf"))
    report.case(killed > 0, "no worker was killed meanwhile")


def _kill_worker(service: Service) -> int:
    """How many were: none if the last one's successor is not there yet."""
    with suppress(ValueError, OSError):
        os.kill(service.worker(), signal.SIGKILL)
        return 1
    return 0


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
