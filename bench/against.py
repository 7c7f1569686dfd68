"""Compare this checkout with an earlier commit: measure both in alternation, and compare round by round.

The speed of a machine drifts: it warms up, and other programs use it. Two measurements within a minute drift
together, so each round gives one ratio, and the median of ratios is steadier than a ratio of two medians.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from app.model.claim import Value
from bench import overhead, score, speed
from bench.contenders import ours
from bench.pictures import Pages, hosted
from bench.progress import say
from bench.report import with_clients
from bench.servers import Picture
from bench.versions import Version, new_version, old_version

TOLERATED = 0.02
"""A loss up to this share does not count, however little the rounds differ."""

Figures = dict[str, float]
"""Keys are the names of measures."""


@dataclass(frozen=True)
class Measure:
    """What is compared, and in which direction it is better."""

    name: str
    more_is_better: bool


@dataclass(frozen=True)
class Comparison:
    """One figure of each round and version.

    cost: median over the rounds of how much slower, larger or later the new version is than the old one; 1 is
    the same, 1.1 is 10 % worse. spread: the interquartile range of the rounds' costs. Unlike the range from
    least to most, it does not grow when one round was disturbed, so a disturbance hides no loss.
    """

    measure: Measure
    old: Sequence[float]
    new: Sequence[float]

    @property
    def costs(self) -> list[float]:
        pairs = zip(self.old, self.new, strict=True)
        return [old / new if self.measure.more_is_better else new / old for old, new in pairs]

    @property
    def cost(self) -> float:
        return median(self.costs)

    @property
    def spread(self) -> float:
        if len(self.costs) < 2:
            return 0.0
        lower, _, upper = quantiles(self.costs, n=4, method="inclusive")
        return upper - lower

    @property
    def slower(self) -> bool:
        return self.cost - 1 > max(self.spread, TOLERATED)

    def as_dict(self) -> dict[str, Any]:
        return {
            **asdict(self.measure),
            "old": list(self.old),
            "new": list(self.new),
            "cost": round(self.cost, 4),
            "spread": round(self.spread, 4),
            "slower": self.slower,
        }


def compare(
    commit: str,
    pages: Pages,
    *,
    parts: Iterable[str],
    clients: Sequence[int],
    rounds: int,
    options: Mapping[str, Value],
) -> dict[str, Any]:
    """The two versions' names, and a comparison for each measure of the chosen parts."""
    found: dict[str, list[Figures]] = {"old": [], "new": []}
    with old_version(commit) as old, hosted(pages) as (port, pictures):
        new = new_version()
        say(f"old: {old.shown}\nnew: {new.shown}")
        if old.bin != new.bin:
            say(f"The old version runs with other packages, in {old.bin.parent}.")
        measures: dict[str, Callable[[Version], Figures]] = {
            "speed": lambda version: _speed(version, port, pictures, clients, options),
            "overhead": overhead.measure_version,
        }
        for number in range(rounds):
            say(f"Round {number + 1} of {rounds}:")
            # The order alternates: the second may find a warmer machine.
            order = (old, new) if number % 2 == 0 else (new, old)
            for name, figures in _round(order, [measures[part] for part in parts]).items():
                found[name].append(figures)
        return {
            "old": old.shown,
            "new": new.shown,
            "other_packages": old.bin != new.bin,
            "images": len(pages),
            "rounds": rounds,
            "tolerated": TOLERATED,
            "measures": [comparison.as_dict() for comparison in comparisons(found["old"], found["new"])],
        }


def _round(order: Sequence[Version], measures: Sequence[Callable[[Version], Figures]]) -> dict[str, Figures]:
    """Measure each part of both versions once. Returns the figures by the version's name."""
    figures: dict[str, Figures] = {version.name: {} for version in order}
    for measure in measures:
        for version in order:
            measured = measure(version)
            say(f"  {version.name}: " + ", ".join(f"{k} {v:.4g}" for k, v in measured.items()))
            figures[version.name] |= measured
    return figures


def comparisons(old: Sequence[Figures], new: Sequence[Figures]) -> list[Comparison]:
    """Figures of each round. A measure that one version lacks is left out."""
    names = [name for name in new[0] if name in old[0]]
    return [
        Comparison(Measure(name, "/s" in name), [of[name] for of in old], [of[name] for of in new])
        for name in names
    ]


def _speed(
    version: Version,
    port: int,
    pictures: Sequence[Picture],
    clients: Sequence[int],
    options: Mapping[str, Value],
) -> Figures:
    tally = speed.Tally()
    with tempfile.TemporaryDirectory() as home:
        speed.measure(ours(Path(home), port, options, version), pictures, clients, tally)
    figures: Figures = {}
    for count in clients:
        figures["pictures/s" + with_clients(str(count))] = tally.rate(count)
        figures["p50, ms" + with_clients(str(count))] = 1000 * score.percentile(tally.waits_s[count], 0.50)
    return figures | {"start, s": tally.starts_s[0], "peak memory, MB": tally.peak_mb}
