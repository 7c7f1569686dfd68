"""Every kind of picture: what is legible reads as its plain twin, and nothing takes long, or the engine."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, islice

from app.engine.reader import DECODE_MARGIN
from app.errors import ServiceError
from app.wiring.engine import build_decode_host
from config.settings import Settings
from tests.decode_cost import Cost, measured, own_host
from tests.hostile import bombs, pictures
from tests.hostile.pictures import Case
from tests.hostile.report import Report
from tests.hostile.service import Answer, Service

DECODE_CPU_S, DECODE_MB = 3, 400  # what every picture may cost before it is read
FLIPS = 40
AT_ONCE = 4
BOMBS_OF_A_KIND = 5
BOMBS_IN_QUICK = 4


def run(service: Service, report: Report, *, quick: bool) -> None:
    worker = service.worker()
    words = service.ask(picture=pictures.saved(pictures.page(), "PNG")).body["result"]
    report.case(words.count("\n") == 2, f"the plain twin reads {words!r}")
    broken = pictures.broken(1 if quick else FLIPS)
    legible = pictures.legible()
    drawn = list(bombs.drawn(1 if quick else BOMBS_OF_A_KIND))
    costly = chain(pictures.extremes(), pictures.bombs(), pictures.costly(), drawn)
    if quick:
        broken, legible, costly = (
            islice(broken, 0, None, 5),
            islice(legible, 0, None, 4),
            chain(pictures.bombs(), random.SystemRandom().sample(drawn, BOMBS_IN_QUICK)),
        )
    _each(service, report, broken, lambda case, answer: answer.code in case.codes)
    _each(service, report, legible, lambda case, answer: answer.body.get("result") == words)
    with _decode_host() as cost_of:
        _each(service, report, costly, lambda case, answer: answer.code in case.codes, cost_of=cost_of)
    answer = service.ask(picture=pictures.saved(pictures.page(), "PNG"))
    report.case(answer.body["result"] == words, f"afterwards the plain twin reads {answer.text[:200]}")
    report.case(service.worker() == worker, "a picture took the worker down")


def _each(
    service: Service,
    report: Report,
    cases: Iterable[Case],
    good: Callable[[Case, Answer], bool],
    *,
    cost_of: Callable[[bytes], Cost] | None = None,
) -> None:
    def asked(case: Case) -> tuple[Case, Answer]:
        return case, service.ask(picture=case.data)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for case, answer in pool.map(asked, cases):
            report.case(good(case, answer), f"{case.name}: {answer.text[:300]}")
            if cost_of is not None:
                cost = cost_of(case.data)
                report.measured("slowest decode, s of CPU", cost.cpu_s, case.name, limit=DECODE_CPU_S)
                report.measured("largest decode, MB", cost.memory_mb, case.name, limit=DECODE_MB)


@contextmanager
def _decode_host() -> Iterator[Callable[[bytes], Cost]]:
    """What decoding costs, as the service does it, but here, where nothing else is counted."""
    settings = Settings()
    host = build_decode_host(settings.limits)

    def cost_of(data: bytes) -> Cost:
        with measured(pid) as cost, suppress(ServiceError):
            host.decode(data, enough_px=DECODE_MARGIN * settings.engine.side_limit)
        return cost

    with own_host(host) as pid:
        yield cost_of
