"""`make bench ARGS="--against COMMIT"`: its arithmetic, its verdicts, and the checkout of the old version."""

from __future__ import annotations

import os
import signal
import subprocess
from argparse import Namespace
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import __main__, charts, report
from bench.against import Comparison, Measure, comparisons
from bench.options import arguments
from bench.servers import BenchError
from bench.versions import NEW, old_version
from config.settings import ROOT

SVG = "{http://www.w3.org/2000/svg}"


def comparison(costs: list[float], *, more_is_better: bool = False) -> Comparison:
    """Of a measure whose old figure drifts from round to round, while each round has the given cost."""
    old = [100.0 + 10 * number for number in range(len(costs))]
    new = [value / cost if more_is_better else value * cost for value, cost in zip(old, costs, strict=True)]
    return Comparison(Measure("m", more_is_better), old, new)


@pytest.mark.parametrize("more_is_better", [False, True])
@pytest.mark.parametrize(
    ("costs", "cost", "spread", "slower"),
    [
        ([1.0] * 7, 1.0, 0.0, False),
        ([1.019] * 7, 1.019, 0.0, False),  # within 2 %
        ([1.021] * 7, 1.021, 0.0, True),
        ([0.5] * 7, 0.5, 0.0, False),  # faster
        ([0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2], 1.05, 0.15, False),  # within the spread
        ([1.04, 1.05, 1.05, 1.05, 1.05, 1.06, 9.0], 1.05, 0.005, True),  # one disturbed round hides nothing
        ([9.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0], 1.0, 4.0, False),
        ([1.1], 1.1, 0.0, True),
        ([0.9, 1.2], 1.05, 0.15, False),
    ],
)
def test_cost_spread_and_verdict(
    costs: list[float], cost: float, spread: float, slower: bool, more_is_better: bool
) -> None:
    found = comparison(costs, more_is_better=more_is_better)
    assert found.costs == pytest.approx(costs)
    assert [found.cost, found.spread] == pytest.approx([cost, spread])
    assert found.slower is slower


def test_rates_are_better_when_higher_and_all_else_when_lower() -> None:
    names = (
        "pictures/s, 1 client",
        "overhead, requests/s",
        "p50, ms, 1 client",
        "start, s",
        "peak memory, MB",
    )
    figures = [dict.fromkeys(names, 2.0) | {"one version's own": 1.0}]
    found = comparisons([dict.fromkeys(names, 1.0)], figures)
    assert [one.slower for one in found] == [False, False, True, True, True]


def results(*costs: float) -> dict[str, Any]:
    measures = [comparison([cost] * 7).as_dict() for cost in costs]
    named = {"old": "a1b2c3 Some subject", "new": "d4e5f6 Another", "other_packages": False}
    return {"against": {**named, "images": 24, "rounds": 7, "tolerated": 0.02, "measures": measures}}


def test_the_report_has_a_row_and_the_chart_dots_for_each_measure() -> None:
    machine = {"cores": 2, "processor": "P", "extensions": [], "load_before": 0.1}
    about = {"date": "today", "command": "`make bench`", "machine": machine}
    told = report.markdown(about | results(1.0, 1.5), [])
    assert "| m | 130 | 130 | 1.000 | 0.000 | no slower |" in told
    assert "| m | 130 | 195 | 1.500 | 0.000 | **slower** |" in told
    drawn = charts.chart(results(1.0, 1.5))
    groups = ElementTree.fromstring(drawn).iter(f"{SVG}g")  # noqa: S314  our own
    dots = [group for group in groups if group.get("id", "").startswith("PathCollection")]
    assert [len(list(group.iter(f"{SVG}use"))) for group in dots] == [7, 7]
    assert "+50.0" in drawn


@pytest.mark.parametrize(("words", "status"), [(["--check"], 1), ([], None)])
def test_check_ends_with_1_if_anything_is_slower(
    monkeypatch: pytest.MonkeyPatch, words: list[str], status: int | None
) -> None:
    monkeypatch.setattr(__main__, "arguments", lambda: arguments(["--against", "HEAD", *words]))
    monkeypatch.setattr(__main__, "run", lambda chosen: results(1.0, 1.5))
    written: list[str] = []
    monkeypatch.setattr(__main__, "write", lambda results, targets, name: written.append(name))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "environ", {})
    if status is None:
        __main__.main()
    else:
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        assert ended.value.code == status
    assert written == ["against"]


def test_seven_rounds_of_speed_and_overhead_unless_told_otherwise() -> None:
    def chosen(*words: str) -> tuple[int, tuple[str, ...]]:
        found: Namespace = arguments(list(words))
        return found.rounds, tuple(found.only)

    assert chosen("--against", "HEAD") == (7, ("speed", "overhead"))
    assert chosen("--against", "HEAD", "--only", "overhead", "--rounds", "3") == (3, ("overhead",))
    assert chosen() == (2, ("speed", "soak", "accuracy", "overhead"))
    with pytest.raises(SystemExit):
        arguments(["--against", "HEAD", "--only", "accuracy"])


needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")


@needs_git
def test_the_old_version_is_a_checkout_that_goes_away() -> None:
    with pytest.raises(KeyboardInterrupt), old_version("HEAD") as old:
        assert (old.root / "run_ocr_flask.py").is_file()
        assert (old.root / "models").resolve() == (ROOT / "models").resolve()
        assert str(old.root) in worktrees()
        env = {"PATH": "p", "OCR_HOME": "h", "OCR_BIND": "b", "OCR_FETCH__NOT_YET_INVENTED": "x"}
        assert old.understood(env) == {"PATH": "p", "OCR_HOME": "h", "OCR_BIND": "b"}
        raise KeyboardInterrupt
    assert not old.root.exists()
    assert str(old.root) not in worktrees()


def worktrees() -> str:
    return subprocess.run(
        ["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@needs_git
@pytest.mark.parametrize("commit", ["no-such-branch", "--help", "HEAD:README.md", ""])
def test_what_is_no_commit_is_refused(commit: str) -> None:
    with pytest.raises(BenchError, match="no commit"), old_version(commit):
        pass


def test_our_own_settings_are_all_understood() -> None:
    env = {"OCR_BIND": "b", "OCR_STATE__REDIS_URL": "", "OCR_TYPO": "x", "WEB_CONCURRENCY": "2"}
    assert NEW.understood(env) == {name: value for name, value in env.items() if name != "OCR_TYPO"}
