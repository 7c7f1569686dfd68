"""A usage report as a table, as CSV and as a chart."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from app.cli.output import table
from app.model.usage import UsageFigures, UsageReport

HEAD = ("DAY", "REQUESTS", "PICTURES", "CHARACTERS", "P50 MS", "P95 MS", "BY CODE")


def show(report: UsageReport) -> None:
    table(HEAD, [_row(figures) for figures in (*report.days, report.total)])


def write_csv(report: UsageReport) -> None:
    """Write one line per day to standard output, with a column for each code that occurs."""
    codes = sorted(report.total.by_code)
    writer = csv.writer(sys.stdout)
    plain = ["day", "requests", "pictures", "characters", "p50_ms", "p95_ms"]
    writer.writerow(plain + [f"code_{code}" for code in codes])
    for figures in report.days:
        values = [getattr(figures, name) for name in plain]
        writer.writerow(values + [figures.by_code.get(code, 0) for code in codes])


def draw(report: UsageReport, title: str, file: Path) -> None:
    """Draw requests by code above processing times. The file's suffix selects the format."""
    from matplotlib.figure import Figure  # unlike pyplot, without a window or global state

    figure = Figure(figsize=(10, 6), layout="constrained")
    requests, times = figure.subplots(2, 1, sharex=True)
    days = [str(figures.day) for figures in report.days]
    below = [0] * len(days)
    for code in sorted(report.total.by_code, reverse=True):
        heights = [figures.by_code.get(code, 0) for figures in report.days]
        requests.bar(days, heights, bottom=below, label=f"code {code}")
        below = [sum(pair) for pair in zip(below, heights, strict=True)]
    for name in ("p50_ms", "p95_ms"):
        measured = [getattr(figures, name) for figures in report.days]
        times.plot(days, [float("nan") if ms is None else ms for ms in measured], "o-", label=name[:3])
    requests.set(title=title, ylabel="requests a day")
    times.set(ylabel="milliseconds")
    times.set_ylim(bottom=0)
    times.set_xticks(range(0, len(days), max(1, len(days) // 10)))
    for axes in (requests, times):
        if days:
            axes.legend(loc="upper left")
    figure.savefig(file)


def _row(figures: UsageFigures) -> tuple[str, ...]:
    codes = " ".join(f"{code}:{requests}" for code, requests in figures.by_code.items())
    counted = (figures.requests, figures.pictures, figures.characters, figures.p50_ms, figures.p95_ms)
    return (
        str(figures.day or "total"),
        *("-" if number is None else str(number) for number in counted),
        codes or "-",
    )
