"""The targets of the benchmark, each with the measured figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.accuracy import TOLERATED
from bench.contenders import PEERS, TITLES

Results = Mapping[str, Any]

THROUGHPUT_RATIO = 3.0
LATENCY_RATIO = 0.4
LIMIT_SHARE = 0.60
END_MB = 1500
GROWTH = 0.02
START_S = 4.0
ADDED_MS = 4.0
REQUESTS_PER_S = 400


@dataclass(frozen=True)
class Target:
    """measured and bound are in `unit`, or are bare numbers."""

    name: str
    measured: float
    at_least: bool
    bound: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"met": self.met}


def compare_targets(results: Results) -> list[Target]:
    """Compare the results with each target for which they have a figure."""
    found: list[Target] = []
    if "ours" in results:
        found += _speed(results)
    if "soak" in results:
        found += _memory(results["soak"])
    if "accuracy" in results:
        overall = results["accuracy"]["overall"]
        lead = round(100 * (overall["ours"] - overall["paddleocr"]), 2)
        found.append(Target("characters right, less paddleocr's", lead, True, -100 * TOLERATED, "points"))
    if "overhead" in results:
        found += _overhead(results["overhead"]["kinds"])
    return found


def _overhead(kinds: Mapping[str, Any]) -> Iterator[Target]:
    for kind in ("embedded", "redis"):
        if kind in kinds:
            added = kinds[kind]["added_p50_ms"]
            yield Target(f"p50 added to a bare route, {kind}", added, False, ADDED_MS, "ms")
    if "redis" in kinds:
        yield Target("requests/s with Redis", kinds["redis"]["requests_per_s"], True, REQUESTS_PER_S, "/s")


def _speed(results: Results) -> Iterator[Target]:
    ours, peers = results["ours"], [name for name in PEERS if name in results]
    fewest, most = (pick(results["clients"], key=int) for pick in (min, max))
    for peer in peers:
        ratio = ours["pictures_per_s"][most] / results[peer]["pictures_per_s"][most]
        yield Target(f"pictures/s at {most} clients, of {TITLES[peer]}", ratio, True, THROUGHPUT_RATIO, "x")
    if "paddlex" in peers:
        ratio = ours["p50_ms"][fewest] / results["paddlex"]["p50_ms"][fewest]
        name = f"p50 at {fewest} client, of {TITLES['paddlex']}"
        yield Target(name, ratio, False, LATENCY_RATIO, "x")
    for peer in peers:
        yield Target(f"word F1, {TITLES[peer]}", ours["word_f1"], True, results[peer]["word_f1"])
    if results["limit_share"] is not None:
        yield Target("share of the float32 limit", results["limit_share"], True, LIMIT_SHARE)
    yield Target("ready after start", ours["start_s"], False, START_S, "s")


def _memory(soak: Mapping[str, Any]) -> Iterator[Target]:
    yield Target(f"memory after {soak['pictures']} pictures", soak["end_mb"], False, END_MB, "MB")
    growth = 100 * soak["growth"]
    yield Target(f"growth over the last {soak['growth_over']}", growth, False, 100 * GROWTH, "%")
