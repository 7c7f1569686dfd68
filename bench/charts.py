"""The results as one SVG: a panel for each part that was measured."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from bench import accuracy
from bench.conditions import UPRIGHT
from bench.contenders import TITLES
from bench.report import with_clients
from bench.targets import END_MB

Results = Mapping[str, Any]
Part = tuple[float, Callable[[SubFigure], None]]
"""The height in inches, and what draws the part."""

COLOURS = {"ours": "#1f6f54", "paddlex": "#9aa7b4", "rapidocr_api": "#cbbf9f", "paddleocr": "#9aa7b4"}
WORSE, SHADE = "#a8322d", "#e8ecef"
WIDTH = 7.6  # inches
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # the subject of a commit may have a $
    "svg.hashsalt": "bench",  # the same results give the same file
    "font.size": 9,
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def chart(results: Results) -> str:
    out = io.StringIO()
    with matplotlib.rc_context(STYLE):
        parts = _parts(results)
        figure = Figure((WIDTH, sum(height for height, _ in parts) or 1), layout="constrained")
        if parts:
            rows = figure.subfigures(len(parts), squeeze=False, height_ratios=[height for height, _ in parts])
            for row, (_, draw) in zip(rows[:, 0], parts, strict=True):
                draw(row)
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _parts(results: Results) -> list[Part]:
    parts: list[Part] = []
    if "ours" in results:
        bars = len(results["clients"]) * (1 + sum(name in results for name in TITLES))
        parts.append((1.2 + 0.24 * bars, lambda row: _speed(row, results)))
    if "soak" in results:
        parts.append((2.8, lambda row: _memory(row.subplots(), results["soak"])))
    if "accuracy" in results:
        parts.append((0.8 + 0.4 * len(UPRIGHT), lambda row: _accuracy(row, results["accuracy"])))
    if "against" in results:
        height = 0.7 + 0.3 * len(results["against"]["measures"])
        parts.append((height, lambda row: _against(row.subplots(), results["against"])))
    return parts


def _speed(row: SubFigure, results: Results) -> None:
    """Pictures per second and p50 of each server, for each number of clients."""
    named = [name for name in TITLES if name in results]
    left, right = row.subplots(1, 2)
    for axes, key, title, form in (
        (left, "pictures_per_s", "pictures/s (more is better)", "%.2f"),
        (right, "p50_ms", "p50, ms (less is better)", "%.0f"),
    ):
        groups = [with_clients(count).strip(", ") for count in results["clients"]]
        bars = {name: [results[name][key][count] for count in results["clients"]] for name in named}
        _bars(axes, groups, bars, form)
        axes.set_title(title, loc="left")
    _legend(row, left, [TITLES[name] for name in named])


def _accuracy(row: SubFigure, measured: Mapping[str, Any]) -> None:
    """The characters that are wrong, by condition, on upright pages alone."""
    cells = [measured["cells"][condition]["all"] for condition in UPRIGHT]
    readers = accuracy.READERS[:2]
    axes = row.subplots()
    _bars(axes, list(UPRIGHT), {name: [100 * (1 - cell[name]) for cell in cells] for name in readers}, "%.2f")
    axes.set_title("characters wrong on drawn pages, % (less is better)", loc="left")
    _legend(row, axes, [accuracy.TITLES[reader] for reader in readers])


def _bars(axes: Axes, groups: Sequence[str], bars: Mapping[str, Sequence[float]], form: str) -> None:
    """Horizontal bars. bars: by the key of their colour, a value for each group."""
    height = 0.8 / len(bars)
    for number, (name, values) in enumerate(bars.items()):
        places = [group + (number - (len(bars) - 1) / 2) * height for group in range(len(groups))]
        drawn = axes.barh(places, values, 0.9 * height, color=COLOURS[name])
        axes.bar_label(drawn, fmt=form, padding=3)
    axes.set_yticks(range(len(groups)), groups)
    axes.tick_params(left=False)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _legend(row: SubFigure, axes: Axes, titles: Sequence[str]) -> None:
    handles = [bars[0] for bars in axes.containers]
    row.legend(handles, titles, loc="outside upper left", ncols=len(titles))


def _memory(axes: Axes, soak: Mapping[str, Any]) -> None:
    """Megabytes of the whole service over the pictures that it has read."""
    numbers, megabytes = zip(*soak["memory_mb"], strict=True)
    axes.plot(numbers, megabytes, color=COLOURS["ours"])
    axes.axhline(END_MB, color=WORSE, linestyle="--", linewidth=1)
    axes.set_xlim(0, soak["pictures"])
    axes.set_ylim(0, 1.1 * max(END_MB, *megabytes))
    axes.grid(axis="y", color="#ddd")
    title = f"memory of the whole service, MB, over {soak['pictures']} pictures of mixed sizes"
    axes.set_title(title, loc="left")


def _against(axes: Axes, against: Mapping[str, Any]) -> None:
    """The cost of each measure in per cent: a dot a round, a line for the median, the tolerance shaded."""
    costs = [_costs(one) for one in against["measures"]]
    for y, (one, of_measure) in enumerate(zip(against["measures"], costs, strict=True)):
        bound = 100 * max(one["spread"], against["tolerated"])
        colour = WORSE if one["slower"] else COLOURS["ours"]
        median = 100 * (one["cost"] - 1)
        axes.barh(y, 2 * bound, 0.6, left=-bound, color=SHADE)
        axes.scatter(of_measure, [y] * len(of_measure), 12, color=colour)
        axes.plot(median, y, "|", markersize=14, color=colour)
        axes.text(1.02, y, f"{median:+.1f}", va="center", transform=axes.get_yaxis_transform())
    widest = 1.05 * max(5.0, *(abs(cost) for of_measure in costs for cost in of_measure))
    axes.set_xlim(-widest, widest)
    axes.set_yticks(range(len(costs)), [one["name"] for one in against["measures"]])
    axes.invert_yaxis()
    axes.set_title(f"cost against {against['old'][:60]}, %: less is better", loc="left")


def _costs(measure: Mapping[str, Any]) -> list[float]:
    """Of each round, in per cent more than the old version's."""
    pairs = zip(measure["old"], measure["new"], strict=True)
    return [100 * ((old / new if measure["more_is_better"] else new / old) - 1) for old, new in pairs]
