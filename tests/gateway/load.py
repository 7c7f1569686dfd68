"""Callers that keep asking, and what became of what they asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.gateway.conftest import Gateway
from tests.process.test_serving import png
from tests.signing import Caller


@dataclass
class Answers:
    """What came back so far: when (monotonic), after how many seconds, with which status."""

    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, status: int, seconds: float) -> None:
        self.statuses.append(status)
        self.seconds.append(seconds)
        self.ended.append(time.monotonic())

    def per_second(self, begun: float, ended: float, status: int = 200) -> float:
        """Answers of this status in a window, by the second."""
        inside = [s for s, at in zip(self.statuses, self.ended, strict=True) if begun <= at < ended]
        return inside.count(status) / (ended - begun)

    def begun_by(self, moment: float) -> int:
        """How many were sent until then."""
        return sum(at - took < moment for at, took in zip(self.ended, self.seconds, strict=True))

    def slowest(self, share: float, *statuses: int) -> float:
        """The percentile of the seconds taken by answers of these statuses."""
        taken = [t for t, s in zip(self.seconds, self.statuses, strict=True) if s in statuses]
        return sorted(taken)[min(len(taken) - 1, int(len(taken) * share))]


@contextmanager
def callers(gateway: Gateway, caller: Caller, count: int = 4, *, reloaded: bool = False) -> Iterator[Answers]:
    """So many of them, each with a picture of its own, one request after the other.

    Half of them make a connection for each request, the others keep theirs. reloaded: Nginx is, whose old
    workers may end an idle one just when its caller asks on it. Then the same is sent again on a new one: had
    it been begun, it would be a replay, and count as wrong.
    """
    answers, stop = Answers(), threading.Event()

    def ask(session: requests.Session, body: dict[str, Any]) -> requests.Response:
        try:
            return gateway.post(body, session)
        except requests.ConnectionError:
            if not reloaded:
                raise
            return gateway.post(body, session)

    def keep_asking(n: int) -> None:
        picture, text = png(n)
        session = requests.Session()
        while not stop.is_set():
            begun = time.monotonic()
            body = caller.body(picture=picture)
            answer = ask(session, body) if n % 2 else gateway.post(body, headers={"Connection": "close"})
            answers.add(answer.status_code, time.monotonic() - begun)
            if answer.status_code != 200 or answer.json()["result"] != text:
                answers.wrong.append(answer.text)
        session.close()

    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(keep_asking, n) for n in range(count)]
        try:
            yield answers
        finally:
            stop.set()
        for thread in running:
            thread.result()


def offered(rate: float, seconds: float, ask: Callable[[requests.Session], int]) -> Answers:
    """An open loop: requests begin at this rate, whether or not earlier ones were answered."""
    answers = Answers()
    local = threading.local()

    def one() -> None:
        session = getattr(local, "session", None)
        if session is None:
            session = local.session = requests.Session()
        begun = time.monotonic()
        status = ask(session)
        answers.add(status, time.monotonic() - begun)

    with ThreadPoolExecutor(max(8, int(rate * 12))) as pool:
        begun = time.monotonic()
        asked = []
        for n in range(int(rate * seconds)):
            time.sleep(max(0.0, begun + n / rate - time.monotonic()))
            asked.append(pool.submit(one))
        for job in asked:
            job.result()
    return answers
