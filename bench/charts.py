"""The results as one SVG: a panel for each part that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from bench import accuracy
from bench.conditions import UPRIGHT
from bench.contenders import TITLES
from bench.report import with_clients
from bench.targets import END_MB

Results = Mapping[str, Any]
Part = tuple[list[str], int]
"""SVG elements that begin at y = 0, and their height."""

COLOURS = {"ours": "#1f6f54", "paddlex": "#9aa7b4", "rapidocr_api": "#cbbf9f", "paddleocr": "#9aa7b4"}
WIDTH, LEFT, PANEL, BAR, STEP = 760, 52, 320, 26, 30
PLOT_HEIGHT = 190


def chart(results: Results) -> str:
    parts: list[Part] = []
    if "ours" in results:
        parts.append(_speed(results))
    if "soak" in results:
        parts.append(_memory(results["soak"]))
    if "accuracy" in results:
        parts.append(_accuracy(results["accuracy"]))
    if "against" in results:
        parts.append(_against(results["against"]))
    elements, y = [], 10
    for inner, height in parts:
        elements += [f'<g transform="translate(0,{y})">', *inner, "</g>"]
        y += height + 24
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" '
            f'font-family="sans-serif" font-size="13"><rect width="{WIDTH}" height="{y}" fill="white"/>',
            *elements,
            "</svg>\n",
        ]
    )


def _speed(results: Results) -> Part:
    """Two panels of bars: pictures per second and p50, for each number of clients."""
    named = [name for name in TITLES if name in results]
    elements = _legend({TITLES[name]: COLOURS[name] for name in named})
    top = len(elements) // 2 * 22 + 20
    for column, (key, title, form) in enumerate(
        (
            ("pictures_per_s", "pictures/s (more is better)", ".2f"),
            ("p50_ms", "p50, ms (less is better)", ".0f"),
        )
    ):
        left, y = LEFT + column * (PANEL + 40), top
        elements.append(_text(left, y, title, bold=True))
        largest = max(value for name in named for value in results[name][key].values())
        for count in results["clients"]:
            elements.append(_text(left, y + 24, with_clients(count).strip(", "), colour="#555"))
            y += 32
            for name in named:
                value = results[name][key][count]
                length = (PANEL - 60) * value / largest
                elements.append(_bar(left, y, length, BAR, COLOURS[name]))
                elements.append(_text(left + length + 6, y + 18, f"{value:{form}}"))
                y += STEP
    return elements, top + len(results["clients"]) * (32 + len(named) * STEP)


def _memory(soak: Mapping[str, Any]) -> Part:
    """Megabytes of the whole service over the pictures that it has read."""
    points = soak["memory_mb"]
    right, most = WIDTH - 30, 1.1 * max(END_MB, *(mb for _, mb in points))
    top, bottom = 20, 20 + PLOT_HEIGHT

    def place(number: float, mb: float) -> tuple[float, float]:
        return LEFT + (right - LEFT) * number / soak["pictures"], bottom - PLOT_HEIGHT * mb / most

    title = f"memory of the whole service, MB, over {soak['pictures']} pictures of mixed sizes"
    elements = [_text(LEFT, 6, title, bold=True)]
    for mb in range(0, int(most), 500):
        y = place(0, mb)[1]
        dash = ' stroke-dasharray="6 4"' if mb == END_MB else ""
        colour = "#a8322d" if mb == END_MB else "#ddd"
        elements.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="{colour}"{dash}/>')
        elements.append(_text(8, y + 4, str(mb), colour="#555"))
    for number in range(0, soak["pictures"] + 1, 100):
        elements.append(_text(place(number, 0)[0] - 8, bottom + 18, str(number), colour="#555"))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
    elements.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS["ours"]}" stroke-width="2"/>')
    return elements, top + PLOT_HEIGHT + 24


def _accuracy(measured: Mapping[str, Any]) -> Part:
    """Bars of the characters that are wrong, by condition, upright pages alone."""
    upright = {name: measured["cells"][name]["all"] for name in UPRIGHT}
    readers = accuracy.READERS[:2]
    largest = max(1 - cell[reader] for cell in upright.values() for reader in readers) or 1
    elements = _legend({accuracy.TITLES[reader]: COLOURS[reader] for reader in readers})
    y = len(elements) // 2 * 22 + 20
    elements.append(_text(LEFT, y, "characters wrong on drawn pages, % (less is better)", bold=True))
    y += 14
    for condition, cell in upright.items():
        elements.append(_text(LEFT, y + 18, condition, colour="#555"))
        for reader in readers:
            wrong = 1 - cell[reader]
            length = (WIDTH - LEFT - 230) * wrong / largest
            elements.append(_bar(LEFT + 130, y, length, 11, COLOURS[reader]))
            elements.append(_text(LEFT + 136 + length, y + 10, f"{100 * wrong:.2f}"))
            y += 13
        y += 8
    return elements, y


def _against(against: Mapping[str, Any]) -> Part:
    """The cost of each measure in per cent: a dot a round, a line for the median, the tolerance shaded."""
    left, right, y = LEFT + 210, WIDTH - 100, 20
    costs = [_costs(one) for one in against["measures"]]
    widest = max(0.05, *(abs(cost) for of_measure in costs for cost in of_measure))

    def place(cost: float) -> float:
        return (left + right) / 2 + (right - left) / 2 * cost / widest

    elements = [_text(LEFT, 6, f"cost against {against['old'][:60]}, %: less is better", bold=True)]
    for one, of_measure in zip(against["measures"], costs, strict=True):
        bound = max(one["spread"], against["tolerated"])
        colour = "#a8322d" if one["slower"] else COLOURS["ours"]
        elements.append(_text(LEFT, y + 14, one["name"], colour="#555"))
        shade = max(left, place(-bound)), min(right, place(bound))
        elements.append(_bar(shade[0], y, shade[1] - shade[0], 18, "#e8ecef"))
        elements += [f'<circle cx="{place(c):.1f}" cy="{y + 9}" r="3" fill="{colour}"/>' for c in of_measure]
        elements.append(_bar(place(one["cost"] - 1) - 1, y, 2, 18, colour))
        elements.append(_text(right + 12, y + 14, f"{100 * (one['cost'] - 1):+.1f}"))
        y += STEP
    return elements, y


def _costs(measure: Mapping[str, Any]) -> list[float]:
    """Of each round, as differences from 1."""
    pairs = zip(measure["old"], measure["new"], strict=True)
    return [(old / new if measure["more_is_better"] else new / old) - 1 for old, new in pairs]


def _legend(titles: Mapping[str, str]) -> list[str]:
    elements = []
    for row, (title, colour) in enumerate(titles.items()):
        elements += [_bar(LEFT, row * 22, 14, 14, colour), _text(LEFT + 22, row * 22 + 12, title)]
    return elements


def _text(x: float, y: float, text: str, *, colour: str = "black", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{weight}>{escape(text)}</text>'


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'
