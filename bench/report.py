"""The results for people: a Markdown table and a chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from bench.servers import TITLES

COLOURS = {"ours": "#1f6f54", "paddlex": "#9aa7b4", "rapidocr_api": "#cbbf9f"}
WIDTH, PANEL, LEFT, BAR, STEP = 760, 320, 52, 26, 30


def markdown(results: Mapping[str, Any]) -> str:
    machine, clients = results["machine"], results["clients"]
    named = [name for name in TITLES if name in results]
    rows = [
        ("pictures/s" + _with(count), [f"{results[name]['pictures_per_s'][count]:.2f}" for name in named])
        for count in clients
    ]
    for key, title in (("p50_ms", "p50, ms"), ("p95_ms", "p95, ms")):
        rows += [(title + _with(n), [f"{results[name][key][n]:.0f}" for name in named]) for n in clients]
    rows.append(("word F1", [f"{results[name]['word_f1']:.3f}" for name in named]))
    rows.append(("peak memory, MB", [f"{results[name]['peak_mb']:.0f}" for name in named]))
    rows.append(("start, s", [f"{results[name]['start_s']:.1f}" for name in named]))
    extensions = " ".join(machine["extensions"])
    lines = [
        f"{results['images']} pictures, {results['rounds']} round(s), {results['date']}, "
        f"{machine['cores']} cores of {machine['processor']} ({extensions}), "
        f"load before {machine['load_before']}.",
        "",
        "| | " + " | ".join(TITLES[name] for name in named) + " |",
        "|---|" + "---|" * len(named),
        *(f"| {title} | " + " | ".join(cells) + " |" for title, cells in rows),
        "",
        f"Share of the float32 limit: {results['limit_share']:.2f}. {results['limit_note']}",
        *(_ratio(results, peer) for peer in named if peer != "ours"),
    ]
    return "\n".join(lines) + "\n"


def chart(results: Mapping[str, Any]) -> str:
    """Two panels of bars as SVG: pictures per second and p50, for each number of clients."""
    named = [name for name in TITLES if name in results]
    height = 150 + len(results["clients"]) * (len(named) * STEP + 34)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13"><rect width="{WIDTH}" height="{height}" fill="white"/>'
    ]
    for row, name in enumerate(named):
        y = 18 + row * 22
        parts.append(f'<rect x="{LEFT}" y="{y}" width="14" height="14" fill="{COLOURS[name]}"/>')
        parts.append(f'<text x="{LEFT + 22}" y="{y + 12}">{escape(TITLES[name])}</text>')
    for panel, (key, title, form) in enumerate(
        (
            ("pictures_per_s", "pictures/s (more is better)", ".2f"),
            ("p50_ms", "p50, ms (less is better)", ".0f"),
        )
    ):
        parts += _panel(results, named, key, title, form, left=LEFT + panel * (PANEL + 40))
    return "\n".join(parts) + "\n</svg>\n"


def _panel(
    results: Mapping[str, Any], named: list[str], key: str, title: str, form: str, *, left: int
) -> list[str]:
    largest = max(value for name in named for value in results[name][key].values())
    parts, y = [f'<text x="{left}" y="104" font-weight="bold">{title}</text>'], 118
    for count in results["clients"]:
        parts.append(f'<text x="{left}" y="{y + 14}" fill="#555">{_with(count).strip(", ")}</text>')
        y += 22
        for name in named:
            value = results[name][key][count]
            length = (PANEL - 60) * value / largest
            parts.append(
                f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{COLOURS[name]}"/>'
                f'<text x="{left + length + 6:.1f}" y="{y + 18}">{value:{form}}</text>'
            )
            y += STEP
        y += 12
    return parts


def _with(clients: str) -> str:
    return f", {clients} client{'s' if clients != '1' else ''}"


def _ratio(results: Mapping[str, Any], peer: str) -> str:
    parts = []
    for count in results["clients"]:
        speed = results["ours"]["pictures_per_s"][count] / results[peer]["pictures_per_s"][count]
        wait = results["ours"]["p50_ms"][count] / results[peer]["p50_ms"][count]
        parts.append(f"{speed:.2f} x pictures/s and {wait:.2f} x p50{_with(count)}")
    return f"\nAgainst {TITLES[peer]}: " + "; ".join(parts) + "."
