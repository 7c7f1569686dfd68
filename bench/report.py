"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from bench import accuracy
from bench.contenders import PEERS, TITLES
from bench.overhead import TITLES as TITLES_OF_KINDS
from bench.targets import Target

Results = Mapping[str, Any]


def markdown(results: Results, targets: Sequence[Target]) -> str:
    machine = results["machine"]
    sections = [
        f"{results['date']}, {machine['cores']} cores of {machine['processor']} "
        f"({' '.join(machine['extensions'])}), load before {machine['load_before']}. {results['command']}"
    ]
    if "ours" in results:
        sections.append(_speed(results))
    if "soak" in results:
        sections.append(_memory(results["soak"]))
    if "accuracy" in results:
        sections.append(_accuracy(results["accuracy"]))
    if "overhead" in results:
        sections.append(_overhead(results["overhead"]))
    if "against" in results:
        sections.append(_against(results["against"]))
    if targets:
        sections.append(_targets(targets))
    return "\n\n".join(sections) + "\n"


def _speed(results: Results) -> str:
    named = [name for name in TITLES if name in results]
    clients = results["clients"]
    rows = [
        ["pictures/s" + with_clients(n), *(f"{results[name]['pictures_per_s'][n]:.2f}" for name in named)]
        for n in clients
    ]
    for key, title in (("p50_ms", "p50, ms"), ("p95_ms", "p95, ms")):
        rows += [
            [title + with_clients(n), *(f"{results[name][key][n]:.0f}" for name in named)] for n in clients
        ]
    for key, title, form in (
        ("word_f1", "word F1", ".3f"),
        ("peak_mb", "peak memory, MB", ".0f"),
        ("start_s", "start, s", ".1f"),
        ("busy_answers", "asked to come again", "d"),
    ):
        rows.append([title, *(f"{results[name][key]:{form}}" for name in named)])
    lines = [
        f"## Speed: {results['images']} pictures, {results['rounds']} round(s)",
        table(["", *(TITLES[name] for name in named)], rows),
    ]
    if results["limit_share"] is not None:
        lines.append(f"Share of the float32 limit: {results['limit_share']:.2f}. {results['limit_note']}")
    lines += [_ratio(results, peer) for peer in PEERS if peer in named]
    return "\n\n".join(lines)


def _ratio(results: Results, peer: str) -> str:
    parts = []
    for count in results["clients"]:
        speed = results["ours"]["pictures_per_s"][count] / results[peer]["pictures_per_s"][count]
        wait = results["ours"]["p50_ms"][count] / results[peer]["p50_ms"][count]
        parts.append(f"{speed:.2f} x pictures/s and {wait:.2f} x p50{with_clients(count)}")
    return f"Against {TITLES[peer]}: " + "; ".join(parts) + "."


def _overhead(overhead: Mapping[str, Any]) -> str:
    kinds = overhead["kinds"]
    rows = [
        [title, *(str(kinds[kind][key]) for kind in kinds)]
        for key, title in (
            ("p50_ms", "p50 of one client, ms"),
            ("p99_ms", "p99 of one client, ms"),
            ("added_p50_ms", "added to the bare route, p50, ms"),
            ("requests_per_s", f"requests/s of {overhead['clients']} clients"),
            ("requests_per_s_and_core", "requests/s and worker"),
        )
    ]
    return f"## The service's own cost: {overhead['workers']} workers, no engine\n\n" + table(
        ["", *(TITLES_OF_KINDS[kind] for kind in kinds)], rows
    )


def _against(against: Mapping[str, Any]) -> str:
    rows = [
        [
            one["name"],
            *(f"{median(one[version]):.4g}" for version in ("old", "new")),
            f"{one['cost']:.3f}",
            f"{one['spread']:.3f}",
            "**slower**" if one["slower"] else "no slower",
        ]
        for one in against["measures"]
    ]
    packages = " It runs with other packages, those that it pins." if against["other_packages"] else ""
    return "\n\n".join(
        [
            f"## Against an earlier commit: {against['rounds']} round(s), {against['images']} pictures",
            f"old: `{against['old']}`.{packages} new: `{against['new']}`.",
            table(["", "old, median", "new, median", "cost, median", "spread", ""], rows),
            "The cost of a round is new / old, or old / new where more is better: 1.1 is 10 % worse. The "
            "spread is the interquartile range of the rounds' costs. A measure is slower if its median cost "
            f"is above 1 by more than the spread and {100 * against['tolerated']:.0f} %.",
        ]
    )


def _memory(soak: Mapping[str, Any]) -> str:
    return (
        f"## Memory: {soak['pictures']} pictures of mixed sizes, {soak['clients']} clients\n\n"
        f"{soak['megapixels']['median']} megapixels in the median, {soak['megapixels']['largest']} at most; "
        f"{soak['pictures_per_s']} pictures/s. The whole service: {soak['end_mb']} MB at the end, "
        f"{soak['peak_mb']} MB at the peak; {100 * soak['growth']:+.1f} % over the last "
        f"{soak['growth_over']} (from {soak['settled_mb']} MB; medians over a tenth of the pictures). "
        f"Workers replaced: {soak['restarts']}. Asked to come again: {soak['busy_answers']}."
    )


def _accuracy(measured: Mapping[str, Any]) -> str:
    kinds = [name for name in next(iter(measured["cells"].values())) if name != "all"]
    rows = [
        [condition, *(_cell(cells[kind]) for kind in [*kinds, "all"])]
        for condition, cells in measured["cells"].items()
    ]
    overall, turned = measured["overall"], measured["turned"]
    rows.append(["**all upright**", *([""] * len(kinds)), _cell(overall)])
    rows.append(["**all turned**", *([""] * len(kinds)), _cell(turned)])
    sums = "; ".join(
        f"{accuracy.TITLES[reader]} {100 * overall[reader]:.2f} %" for reader in accuracy.READERS
    )
    return "\n\n".join(
        [
            f"## Accuracy: characters right in per cent on {measured['pages']} drawn pages",
            f"{accuracy.TITLES['ours']} / {accuracy.TITLES['paddleocr']}; ▼ marks where ours is more than "
            f"{100 * accuracy.TOLERATED:.1f} points below.",
            table(["", *kinds, "all"], rows),
            f"All upright pages together: {sums}.",
        ]
    )


def _cell(cell: Mapping[str, float]) -> str:
    mark = " ▼" if accuracy.is_below(cell) else ""
    return f"{100 * cell['ours']:.2f} / {100 * cell['paddleocr']:.2f}{mark}"


def _targets(targets: Sequence[Target]) -> str:
    rows = [
        [
            target.name,
            f"{target.measured:.4g} {target.unit}".strip(),
            f"{'≥' if target.at_least else '≤'} {target.bound:.4g} {target.unit}".strip(),
            "met" if target.met else "**NOT met**",
        ]
        for target in targets
    ]
    return "## Targets\n\n" + table(["", "measured", "target", ""], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def with_clients(clients: str) -> str:
    return f", {clients} client{'s' if clients != '1' else ''}"
