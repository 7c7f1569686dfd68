"""From samples and results to figures, targets and reports."""

from __future__ import annotations

import random
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import charts, options, report, soak
from bench.accuracy import READERS, read_options
from bench.conditions import TURNED, UPRIGHT
from bench.pages import KINDS
from bench.targets import compare_targets


def samples(growth: float, *, peaks: bool = False) -> list[tuple[float, float]]:
    """Memory that fills until picture 200 and then grows by this share until picture 500."""
    chance = random.Random(3)  # noqa: S311
    found = []
    for number in range(0, 501, 2):
        mb = 500 + 2.5 * number if number < 200 else 1000 * (1 + growth * (number - 200) / 300)
        peak = 300 if peaks and chance.random() < 0.2 else 0
        found.append((float(number), mb + chance.uniform(-5, 5) + peak))
    return found


@pytest.mark.parametrize("growth", [0.0, 0.05, 0.3, -0.1])
def test_growth_is_that_of_the_last_300(growth: float) -> None:
    assert soak.figures(samples(growth), 500)["growth"] == pytest.approx(
        growth, abs=0.012 + 0.1 * abs(growth)
    )


def test_growth_does_not_see_pictures_that_are_being_decoded() -> None:
    found = soak.figures(samples(0.0, peaks=True), 500)
    assert abs(found["growth"]) < 0.01
    assert found["end_mb"] < 1020
    assert found["peak_mb"] > 1250


def test_a_jump_near_the_end_is_growth() -> None:
    flat = samples(0.0)
    assert soak.figures([(n, mb + 200 * (n > 440)) for n, mb in flat], 500)["growth"] > 0.15


def test_a_soak_of_a_single_sample_has_figures() -> None:
    assert soak.figures([(0.0, 700.0)], 3)["end_mb"] == 700


def results() -> dict[str, Any]:
    """A run in which every target is met, by little."""
    server = {"word_f1": 0.88, "peak_mb": 1600, "start_s": 3.9, "busy_answers": 0}
    cell = {"ours": 0.97, "paddleocr": 0.971, "paddleocr_960": 0.969}
    cells = {name: dict.fromkeys([*KINDS, "all"], cell) for name in [*UPRIGHT, *TURNED]}
    return {
        "date": "2026-01-01",
        "command": "`make bench`",
        "machine": {"processor": "P & <Q>", "cores": 2, "extensions": ["avx2"], "load_before": 0.1},
        "images": 24,
        "rounds": 2,
        "clients": ["1", "4"],
        "limit_share": 0.61,
        "limit_note": "So it is.",
        "ours": server | {"pictures_per_s": {"1": 3.0, "4": 3.1}, "p50_ms": {"1": 390, "4": 900},
                          "p95_ms": {"1": 400, "4": 999}},
        "paddlex": server | {"pictures_per_s": {"1": 1.0, "4": 1.0}, "p50_ms": {"1": 1000, "4": 4000},
                             "p95_ms": {"1": 1000, "4": 4000}},
        "soak": soak.figures(samples(0.01), 500)
        | {"pictures": 500, "clients": 4, "pictures_per_s": 3.0, "restarts": 0, "busy_answers": 0,
           "megapixels": {"median": 1, "largest": 40}, "memory_mb": [(0, 500), (500, 1000)]},
        "accuracy": {"pages": 12, "overall": cell, "turned": cell, "cells": cells, "misread": []},
    }  # fmt: skip


def not_met(changed: dict[str, Any]) -> list[str]:
    return [target.name for target in compare_targets(changed) if not target.met]


def test_every_target_is_met_by_the_figures_of_a_good_run() -> None:
    found = compare_targets(results())
    assert len(found) == 8
    assert not_met(results()) == []


@pytest.mark.parametrize(
    ("part", "figure", "value", "name"),
    [
        ("ours", "pictures_per_s", {"1": 9.0, "4": 2.9}, "pictures/s at 4 clients"),
        ("ours", "p50_ms", {"1": 401, "4": 1}, "p50 at 1 client"),
        ("ours", "word_f1", 0.8799, "word F1"),
        ("ours", "start_s", 4.1, "ready after start"),
        ("soak", "end_mb", 1501, "memory after 500"),
        ("soak", "growth", 0.021, "growth over the last 300"),
        ("accuracy", "overall", {"ours": 0.97, "paddleocr": 0.9721}, "characters right"),
    ],
)
def test_a_target_can_be_missed(part: str, figure: str, value: object, name: str) -> None:
    changed = results()
    changed[part] = changed[part] | {figure: value}
    [missed] = not_met(changed)
    assert missed.startswith(name)


def test_the_share_of_the_limit_can_be_missed_or_unknown() -> None:
    assert not_met(results() | {"limit_share": 0.59}) == ["share of the float32 limit"]
    assert len(compare_targets(results() | {"limit_share": None})) == 7


def test_targets_without_figures_are_not_judged() -> None:
    assert [target.name for target in compare_targets({"soak": results()["soak"]})] == [
        "memory after 500 pictures",
        "growth over the last 300",
    ]


def test_the_report_names_what_was_missed() -> None:
    changed = results() | {"limit_share": 0.59}
    assert report.markdown(changed, compare_targets(changed)).count("**NOT met**") == 1
    assert "**NOT met**" not in report.markdown(results(), compare_targets(results()))


def test_the_report_marks_cells_that_are_worse() -> None:
    changed = results()
    changed["accuracy"]["cells"]["JPEG 30"] = changed["accuracy"]["cells"]["JPEG 30"] | {
        "digits": {"ours": 0.9, "paddleocr": 0.95, "paddleocr_960": 0.95}
    }
    told = report.markdown(changed, [])
    assert told.count("▼") == 2  # in the legend, and here
    assert "90.00 / 95.00 ▼" in told


PANELS = {
    "speed": "pictures/s (more is better)",
    "soak": "memory of the whole service",
    "accuracy": "characters wrong",
}


@pytest.mark.parametrize("part", PANELS)
def test_each_part_alone_can_be_reported(part: str) -> None:
    whole = results()
    alone = {
        "speed": {name: value for name, value in whole.items() if name not in ("soak", "accuracy")},
        "soak": {name: whole[name] for name in ("date", "command", "machine", "soak")},
        "accuracy": {name: whole[name] for name in ("date", "command", "machine", "accuracy")},
    }[part]
    assert report.markdown(alone, compare_targets(alone)).count("\n## ") == 2
    drawn = charts.chart(alone)
    assert {name for name, title in PANELS.items() if title in drawn} == {part}


def test_the_chart_is_well_formed() -> None:
    svg = ElementTree.fromstring(charts.chart(results()))  # noqa: S314  our own
    assert svg.tag.endswith("svg")


def test_options_of_requests() -> None:
    chosen = options.arguments(
        ["--charset", "latin", "--option", "side_limit=1280", "--option", "boxes=false"]
    )
    asked = options.request_options(chosen)
    assert asked == {"side_limit": 1280, "boxes": False, "charset": "latin"}


def test_what_is_not_for_the_engine_does_not_reach_it() -> None:
    read = read_options({"min_score": "0.25", "side_limit": 640, "timeout_ms": 500})
    assert (read.min_score, read.side_limit) == (0.25, 640)


@pytest.mark.parametrize("words", [["--only", "other"], ["--option", "novalue"], ["--peers", "nobody"]])
def test_a_wrong_command_line_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        options.arguments(words)
    assert error.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_all_readers_have_titles() -> None:
    from bench.accuracy import TITLES

    assert set(TITLES) == set(READERS)


def test_the_services_own_cost_is_judged_and_reported() -> None:
    def kind(p50_ms: float, requests_per_s: int) -> dict[str, float]:
        added = round(p50_ms - 0.5, 2)
        return {
            "p50_ms": p50_ms, "p99_ms": 9.0, "requests_per_s": requests_per_s,
            "requests_per_s_and_core": requests_per_s / 2, "added_p50_ms": added,
        }  # fmt: skip

    kinds = {"bare": kind(0.5, 2000), "embedded": kind(5.0, 100), "redis": kind(3.0, 500)}
    measured = {"overhead": {"workers": 2, "clients": 8, "kinds": kinds}}
    assert [(target.name.split()[-1], target.met) for target in compare_targets(measured)] == [
        ("embedded", False),
        ("redis", True),
        ("Redis", True),
    ]
    told = report.markdown(results() | measured, compare_targets(measured))
    assert "| added to the bare route, p50, ms | 0.0 | 4.5 | 2.5 |" in told
