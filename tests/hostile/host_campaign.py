"""Every misbehaving host, one by one for the worker's memory, and three hundred at once for all others."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from samples.draw import numbered
from tests.hostile.hosts import CODES, ROWS, SLOW, TLS_FAULTS
from tests.hostile.network import PUBLIC
from tests.hostile.report import Report
from tests.hostile.service import Answer, Service
from tests.signing import Caller

DEADLINE_S = 5
LATE_S = 3 * 0.3  # three times what a quiet machine takes
MEMORY_MB = 10 * 1.048576 + 2  # the byte limit, and what it takes to read it
SHARE = 0.9
STUCK = (f"http://{PUBLIC}/drip-body", f"http://{PUBLIC}/silence", "http://silent.test/picture")
UNREACHED = (
    "http://silent.test/picture",
    "http://broken.test/picture",
    "http://many.test/picture",
    "http://93.184.218.1/picture",  # every packet is swallowed
    "https://93.184.218.1/picture",
    *(f"https://{address}/picture" for address in TLS_FAULTS),
)
EACH = 100
SETTLED_S = 2  # until all of them hang, of the ten that they may
ROUNDS = 3
QUICK = (
    "/endless-body",
    "/gzip-bomb",
    "/gzip-endless",
    "/endless-head",
    "/endless-small-chunks",
    "/404",
    "/html",
    "/reset-in-body",
)


def run(service: Service, report: Report, *, quick: bool) -> None:
    service.ask(picture_url=f"http://{PUBLIC}/ticket/1.png")
    rows = [path for path in ROWS if path not in SLOW and (not quick or path in QUICK)]
    for path in rows:
        url = f"http://{PUBLIC}{path}"
        with service.memory() as grown:
            answer = _ask(service, url)
        report.measured("growth of memory, MB", grown[0], path, limit=MEMORY_MB)
        _judge(report, url, answer, CODES.get(path, {14}))
    slow = [f"{scheme}://{PUBLIC}{path}" for path in SLOW for scheme in ("http", "https")]
    slow += UNREACHED
    with ThreadPoolExecutor(len(slow)) as pool:
        for url, answer in zip(slow, pool.map(lambda url: _ask(service, url), slow), strict=True):
            _judge(report, url, answer, {14})
    if not quick:
        _others_are_served(service, report)


def _ask(service: Service, url: str) -> Answer:
    return service.ask(picture_url=url, timeout_ms=DEADLINE_S * 1000)


def _judge(report: Report, url: str, answer: Answer, expected: set[int]) -> None:
    report.case(answer.code in expected, f"{url}: {answer.code} and not {expected}: {answer.text[:200]}")
    report.measured("slowest fetch, s", answer.seconds, url, limit=DEADLINE_S + LATE_S)


def _others_are_served(service: Service, report: Report) -> None:
    """Three users send what never ends; the rest get their text about as fast as without them."""
    callers = [service.caller() for _ in range(4)]
    all_alone = all_beside = 0.0
    for _ in range(ROUNDS):
        alone = _rate(service, report, callers)
        with ThreadPoolExecutor(EACH * len(STUCK)) as pool:
            stuck: list[Future[Answer]] = [
                pool.submit(service.post, caller.body(picture_url=url))
                for caller, url in zip([service.caller() for _ in STUCK], STUCK, strict=True)
                for _ in range(EACH)
            ]
            time.sleep(SETTLED_S)
            beside = _rate(service, report, callers)
        for answer in stuck:
            code = answer.result().code
            report.case(code in (12, 14, 17), f"one of {len(stuck)} stuck downloads: {code}")
        all_alone += alone
        all_beside += beside
        print(f"  {alone:.1f} a second alone, {beside:.1f} beside {len(stuck)} stuck downloads", flush=True)
    lost = 1 - all_beside / all_alone
    report.measured("throughput lost to stuck hosts", lost, "drips, silence, hanging names", limit=1 - SHARE)


def _rate(service: Service, report: Report, callers: list[Caller], seconds: float = 5) -> float:
    """Tickets read a second, by as many clients as callers."""
    read, numbers = [], itertools.count(100)
    until = time.monotonic() + seconds
    lock = threading.Lock()

    def keep_asking(caller: Caller) -> None:
        while time.monotonic() < until:
            with lock:
                n = next(numbers)
            answer = service.ask(caller, picture_url=f"http://{PUBLIC}/ticket/{n}.png")
            good = answer.body.get("result") == "\n".join(numbered(n).lines)
            report.case(good, f"ticket {n}: {answer.text[:200]}")
            read.append(n)

    with ThreadPoolExecutor(len(callers)) as pool:
        list(pool.map(keep_asking, callers))
    return len(read) / (time.monotonic() - until + seconds)
