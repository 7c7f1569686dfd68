"""The log line and the metrics of a request, field by field."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from app.errors import PictureUnreachable
from app.telemetry.logs import log
from tests.web.fixed import ALICE, REQUEST_ID, CountedMetrics, client_of, ocr_routes, recognised


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, Any]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append((record.getMessage(), vars(record)["fields"]))


@pytest.fixture
def lines() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    handler, level = Lines(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler.found
    log.removeHandler(handler)
    log.setLevel(level)


KNOWN = {"request_id": REQUEST_ID, "address": "127.0.0.1"}


def observe(outcome: object, body: dict[str, Any]) -> CountedMetrics:
    metrics = CountedMetrics()
    client_of(ocr_routes(outcome), metrics=metrics).post("/ocr", json=body)
    return metrics


def test_of_a_picture_that_was_read(lines: list[Any]) -> None:
    metrics = observe(recognised(), ALICE.body(picture=b"a picture"))
    elapsed = {"queue": 3, "fetch": 41, "decode": 9, "ocr": 812, "total": 871}
    line = {**KNOWN, "username": "alice", "status_code": 6, "http": 200, "elapsed_ms": elapsed}
    assert lines == [("ocr", line)]
    assert list(lines[0][1]) == list(line)
    assert metrics.counts == {(6, None, True): 1}


def test_of_a_picture_that_was_not(lines: list[Any]) -> None:
    metrics = observe(PictureUnreachable("no such name", stage="dns"), ALICE.body(picture=b"a picture"))
    line = KNOWN | {"username": "alice", "status_code": 14, "http": 422}
    assert lines == [("ocr", line | {"detail": "no such name", "stage": "dns"})]
    assert metrics.counts == {(14, "dns", True): 1}


def test_of_a_request_that_says_not_who_asks(lines: list[Any]) -> None:
    metrics = observe(recognised(), {})
    assert lines == [("ocr", KNOWN | {"status_code": 0, "http": 400, "detail": "no username"})]
    assert metrics.counts == {(0, None, False): 1}


def test_of_a_bug(lines: list[Any]) -> None:
    metrics = observe(ZeroDivisionError("ours"), ALICE.body(picture=b"a picture"))
    assert [event for event, _ in lines] == ["unexpected error", "ocr"]
    assert lines[1][1]["detail"] == "ZeroDivisionError('ours')"
    assert metrics.counts == {(5, None, True): 1}


@pytest.mark.parametrize(("method", "path"), [("GET", "/ocr"), ("GET", "/nothing")])
def test_other_requests_are_neither_logged_nor_counted(lines: list[Any], method: str, path: str) -> None:
    metrics = CountedMetrics()
    client_of(ocr_routes(recognised()), metrics=metrics).open(path, method=method)
    assert (lines, metrics.counts) == ([], {})
