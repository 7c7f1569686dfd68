"""Speed and word accuracy: each server alone reads the same pictures, in alternating rounds."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.model.claim import Value
from bench import limit, score
from bench.contenders import make
from bench.pictures import Labels, Pages, hosted
from bench.progress import say
from bench.servers import Answer, Picture, Server, running

WARM_UP = 3


@dataclass
class Tally:
    """Measurements of one server over all rounds. Keys are numbers of clients."""

    waits_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    walls_s: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    stages_ms: dict[int, list[dict[str, int]]] = field(default_factory=lambda: defaultdict(list))
    read: dict[str, list[str]] = field(default_factory=dict)
    flop: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0
    starts_s: list[float] = field(default_factory=list)
    busy: int = 0

    def rate(self, clients: int) -> float:
        return len(self.waits_s[clients]) / self.walls_s[clients]


def compare(
    chosen: Pages,
    labels: Labels,
    *,
    peers: Sequence[str],
    clients: Sequence[int],
    rounds: int,
    options: Mapping[str, Value],
) -> dict[str, Any]:
    """Figures of our service and of each peer by name, and our share of the machine's limit."""
    names = ["ours", *peers]
    sgemm = limit.sgemm_flop_a_second()
    tallies = {name: Tally() for name in names}
    with hosted(chosen) as (port, pages):
        for number in range(rounds):
            say(f"Round {number + 1} of {rounds}:")
            # The order alternates, so that a machine that warms up or is disturbed favours no server.
            for name in names if number % 2 == 0 else reversed(names):
                with tempfile.TemporaryDirectory() as home:
                    measure(make(name, Path(home), port, options), pages, clients, tallies[name])
    ours = tallies["ours"]
    flop = sum(ours.flop.values()) / len(ours.flop)
    return {
        "images": len(chosen),
        "rounds": rounds,
        "clients": [str(count) for count in clients],
        "sgemm_gflop_per_s": round(sgemm / 1e9, 1),
        "gflop_per_picture": round(flop / 1e9, 1),
        # The arithmetic is known for the default shapes and models only, which options may change.
        "limit_share": None if options else round(ours.rate(max(clients)) * flop / sgemm, 3),
        "limit_note": limit.NOTE,
    } | {name: _summary(tally, labels) for name, tally in tallies.items()}


def measure(server: Server, pages: Sequence[Picture], clients: Iterable[int], tally: Tally) -> None:
    """One round of one server: start, warm up, the same pictures at each number of clients, stop."""
    say(f"  {server.name}: starting ...")
    with running(server) as watch:
        for page in pages[:WARM_UP]:
            server.read(page)
        for count in clients:
            _send(server, pages, count, tally)
    tally.starts_s.append(watch.start_s)
    tally.peak_mb = max(tally.peak_mb, watch.peak_mb)


def _send(server: Server, pages: Sequence[Picture], clients: int, tally: Tally) -> None:
    def timed(page: Picture) -> tuple[float, Answer]:
        started = time.perf_counter()  # before the first try: retries after 503 count as waiting
        answer = server.read(page)
        return time.perf_counter() - started, answer

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(timed, pages))
    took = time.perf_counter() - started
    tally.walls_s[clients] += took
    for page, (wait, answer) in zip(pages, answers, strict=True):
        tally.waits_s[clients].append(wait)
        tally.busy += answer.busy
        tally.read[page.name] = server.lines(answer.body)
        if server.name == "ours":
            tally.flop[page.name] = limit.flop(answer.body)
            tally.stages_ms[clients].append(answer.body["elapsed_ms"])
    say(f"  {server.name}, {clients} client(s): {len(pages)} pictures in {took:.1f} s")


def _summary(tally: Tally, labels: Labels) -> dict[str, Any]:
    def for_each(figure: Any) -> dict[str, float]:
        return {str(count): round(figure(count), 3) for count in tally.walls_s}

    summary = {
        "pictures_per_s": for_each(tally.rate),
        "p50_ms": for_each(lambda count: 1000 * score.percentile(tally.waits_s[count], 0.50)),
        "p95_ms": for_each(lambda count: 1000 * score.percentile(tally.waits_s[count], 0.95)),
        "word_f1": round(score.word_f1(tally.read, labels), 4),
        "peak_mb": round(tally.peak_mb),
        "start_s": round(score.percentile(tally.starts_s, 0.5), 2),
        "busy_answers": tally.busy,
    }
    if tally.stages_ms:
        summary["mean_elapsed_ms"] = {
            str(count): {name: round(sum(one[name] for one in all_) / len(all_)) for name in all_[0]}
            for count, all_ in tally.stages_ms.items()
        }
    return summary
