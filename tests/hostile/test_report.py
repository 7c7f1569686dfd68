"""A breach of any kind makes the campaigns fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.hostile.report import Report


def begun() -> Report:
    report = Report()
    report.begin("urls")
    report.case(True, "")
    return report


def test_where_every_row_holds_it_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    report = begun()
    report.answered(503, 17, "busy")
    report.answered(422, 0, "a code of 0 is one")
    report.measured("slowest", 1, "here", limit=1)
    assert report.finish(Counter()) == 0
    said = capsys.readouterr().out
    assert "every row holds" in said
    assert "codes: 0: 1, 17: 1" in said


@pytest.mark.parametrize(
    "breach",
    [
        lambda report: report.case(False, "a row"),
        lambda report: report.measured("slowest", 1.1, "here", limit=1),
        lambda report: report.answered(500, 5, "an answer"),
        lambda report: report.answered(502, None, "an answer of nobody's"),
        lambda report: report.begin("a campaign without a case"),
    ],
)
def test_each_breach_makes_it_fail(breach: Callable[[Report], None]) -> None:
    report = begun()
    breach(report)
    assert report.finish(Counter()) == 1


def test_packets_to_forbidden_addresses_make_it_fail() -> None:
    assert begun().finish(Counter({"10.0.0.1 port 80": 1})) == 1


def test_no_campaign_at_all_is_no_success() -> None:
    assert Report().finish(Counter()) == 1
