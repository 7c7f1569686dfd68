"""Every kind of picture: what is legible reads as its plain twin, and nothing takes long, or the engine."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice

from app.errors import ServiceError
from app.picture.decode import DecodeLimits, decode
from app.service import DETAIL
from config.settings import ROOT, Settings
from tests.hostile import pictures
from tests.hostile.pictures import Case
from tests.hostile.report import Report
from tests.hostile.service import Answer, Service

DECODE_CPU_S = 3
FLIPS = 40
AT_ONCE = 4


def run(service: Service, report: Report, *, quick: bool) -> None:
    worker = service.worker()
    words = service.ask(picture=pictures.saved(pictures.page(), "PNG")).body["result"]
    report.case(words.count("\n") == 2, f"the plain twin reads {words!r}")
    broken = pictures.broken(1 if quick else FLIPS)
    legible = pictures.legible()
    costly = chain(pictures.extremes(), pictures.bombs(), pictures.costly())
    if quick:
        broken, legible, costly = islice(broken, 0, None, 5), islice(legible, 0, None, 4), pictures.bombs()
    _each(service, report, broken, lambda case, answer: answer.code in case.codes)
    _each(service, report, legible, lambda case, answer: answer.body.get("result") == words)
    _each(service, report, costly, lambda case, answer: answer.code in case.codes, measured=True)
    answer = service.ask(picture=pictures.saved(pictures.page(), "PNG"))
    report.case(answer.body["result"] == words, f"afterwards the plain twin reads {answer.text[:200]}")
    report.case(service.worker() == worker, "a picture took the worker down")


def _each(
    service: Service,
    report: Report,
    cases: Iterable[Case],
    good: Callable[[Case, Answer], bool],
    *,
    measured: bool = False,
) -> None:
    def asked(case: Case) -> tuple[Case, Answer]:
        return case, service.ask(picture=case.data)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for case, answer in pool.map(asked, cases):
            report.case(good(case, answer), f"{case.name}: {answer.text[:300]}")
            if measured:
                report.measured(
                    "slowest decode, s of CPU", _decode_cpu_s(case.data), case.name, limit=DECODE_CPU_S
                )


def _decode_cpu_s(data: bytes) -> float:
    """As in the engine's thread, with libtiff told the same, measured here, where nothing else is counted."""
    told = re.search(r'"(LIBTIFF_\w+)", "(\d+)"', (ROOT / "gunicorn.py").read_text())
    assert told
    os.environ.setdefault(*told.groups())
    limits, side = Settings().limits, Settings().engine.side_limit
    few = DecodeLimits(
        limits.max_picture_bytes, limits.max_picture_pixels, limits.max_side_px, limits.max_jpeg_scans
    )
    started = time.thread_time()
    with suppress(ServiceError):
        decode(data, few, enough_px=DETAIL * side)
    return time.thread_time() - started
