"""Reloading, stopping and crashing, under load."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest
import requests

from config.settings import ROOT
from tests.process.conftest import QUICK_START, Server
from tests.signing import Caller

PICTURE = (ROOT / "samples" / "receipt.png").read_bytes()
SMALL = (ROOT / "samples" / "digits.png").read_bytes()


def load(server: Server, caller: Caller, stop: threading.Event) -> list[int]:
    """HTTP statuses of requests sent one after the other, over new connections, until told to stop."""
    statuses = []
    while not stop.is_set():
        answer = server.post(caller.body(picture=PICTURE), headers={"Connection": "close"})
        statuses.append(answer.status_code)
    return statuses


def all_replaced(workers: Callable[[], list[int]], old: set[int]) -> bool:
    """Whether workers run, and none of the old ones."""
    running = workers()
    return bool(running) and not old & set(running)


PATIENT = {"OCR_ENGINE__QUEUE_WAIT_S": 25}
"""So that no request is refused for a wait that a busy machine causes."""


def test_sighup_under_load_loses_no_request(start_server: Callable[..., Server]) -> None:
    server = start_server(**PATIENT)
    alice = server.caller()
    stop = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(load, server, alice, stop) for _ in range(3)]
        try:
            for _ in range(2):
                before = set(server.workers())
                time.sleep(1)
                server.master.send_signal(signal.SIGHUP)
                await_true(partial(all_replaced, server.workers, before))
        finally:
            time.sleep(1)
            stop.set()
        statuses = [status for thread in running for status in thread.result()]
    assert set(statuses) == {200}
    assert len(statuses) >= 3


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_grow_too_large_are_replaced_and_no_request_is_lost(
    start_server: Callable[..., Server], workers: int
) -> None:
    """Every worker is too large here after its first read. Connections are kept, and must not be cut."""
    server = start_server(OCR_ENGINE__MAX_WORKER_MB=1, WEB_CONCURRENCY=workers, **QUICK_START, **PATIENT)
    alice = server.caller()
    seen = set(server.workers())
    stop = threading.Event()

    def keep_asking() -> list[int]:
        with requests.Session() as session:
            statuses = []
            while not stop.is_set():
                statuses.append(server.post(alice.body(picture=SMALL), session=session).status_code)
            return statuses

    def replaced_twice() -> bool:
        seen.update(server.workers())
        return len(seen) >= 3 * workers

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(keep_asking) for _ in range(4)]
        try:
            await_true(replaced_twice)
        finally:
            stop.set()
        statuses = [status for thread in running for status in thread.result()]
    assert set(statuses) == {200}
    assert records(server, "status_code = 6") == records(server, "true") == len(statuses)
    assert "MB are more than 1" in server.log("ocr.log")


def test_sigterm_under_load_answers_what_is_in_flight(start_server: Callable[..., Server]) -> None:
    server = start_server(**PATIENT)
    alice = server.caller()
    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(server.post, alice.body(picture=PICTURE)) for _ in range(4)]
        await_true(lambda: running_records(server) == 4)
        assert server.stop() == 0
        assert [answer.result().status_code for answer in sent] == [200] * 4


def test_after_a_killed_worker_the_next_request_succeeds(start_server: Callable[..., Server]) -> None:
    server = start_server()
    alice = server.caller()
    os.kill(server.workers()[0], signal.SIGKILL)
    assert server.post(alice.body(picture=PICTURE)).status_code == 200


def test_a_read_over_its_limit_costs_one_answer_and_one_worker_and_is_not_tried_again(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(OCR_ENGINE__READ_LIMIT_S=0.01)
    alice = server.caller()
    before = server.workers()
    answer = server.post(alice.body(picture=PICTURE))
    assert (answer.status_code, answer.json()["error"]) == (500, "ocr_failed")
    await_true(lambda: server.workers() and server.workers() != before)
    server.await_ready()
    patient = start_server(OCR_ENGINE__CRASH_DIR=server.home / "var" / "crashes")
    workers = patient.workers()
    answer = patient.post(patient.caller().body(picture=PICTURE))
    assert (answer.status_code, answer.json()["error"]) == (500, "ocr_failed")
    assert patient.workers() == workers


def test_17_busy_comes_at_once_and_the_same_body_may_be_sent_again(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(OCR_ENGINE__QUEUE_WAIT_S=0.01)
    alice = server.caller()
    bodies = [alice.body(picture=PICTURE) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(server.post, bodies))
    busy = [(answer, body) for answer, body in zip(answers, bodies, strict=True) if answer.status_code != 200]
    assert 0 < len(busy) < 20
    for answer, _body in busy:
        assert (answer.status_code, answer.json()["status_code"]) == (503, 17)
        assert int(answer.headers["Retry-After"]) >= 1
    assert server.post(busy[0][1]).status_code == 200


@pytest.mark.parametrize(
    "choice", [{"OCR_ENGINE__RUNTIME": "onnxruntime"}, {"OCR_ENGINE__NAME": "paddleocr"}]
)
def test_other_engines_serve_too(start_server: Callable[..., Server], choice: dict[str, str]) -> None:
    server = start_server(**choice, OCR_ENGINE__QUEUE_WAIT_S=60)
    alice = server.caller()
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: server.post(alice.body(picture=PICTURE)), range(3)))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert all("145.90" in answer.json()["result"] for answer in answers)


def test_two_workers_share_nonces_and_quota(start_server: Callable[..., Server]) -> None:
    server = start_server(WEB_CONCURRENCY=2)
    alice = server.caller()
    server.flask("users", "set-quota", "alice", "1")
    body = alice.body(picture=PICTURE)
    with ThreadPoolExecutor(20) as pool:
        replayed = list(pool.map(lambda _: server.post(body).status_code, range(20)))
        others = list(pool.map(lambda _: server.post(alice.body(picture=PICTURE)).status_code, range(5)))
    assert replayed.count(200) == 1
    assert set(replayed) <= {200, 409, 503}
    assert 429 in others
    assert set(others) <= {429, 503}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"OCR_ENGINE__MODELS_DIR": "/nowhere"}, "flask models pull"),
        (
            {"OCR_FETCH__ALLOW_NETWORKS": "127.0.0.0/8", "OCR_FETCH__ALLOW_PORTS": "{port}"},
            "OCR_FETCH__ALLOW",
        ),
        ({"OCR_ENGINE__RUNTIME": "abacus"}, "engine.runtime"),
    ],
)
def test_a_server_that_cannot_serve_safely_does_not_start_and_says_why(
    start_server: Callable[..., Server], variables: dict[str, str], says: str
) -> None:
    with pytest.raises(AssertionError, match=says):
        start_server(**variables)


def running_records(server: Server) -> int:
    """Requests that were admitted and are not finished."""
    return records(server, "status_code IS NULL")


def records(server: Server, condition: str) -> int:
    with closing(sqlite3.connect(server.home / "var" / "ocr.sqlite")) as database:
        [[count]] = database.execute(f"SELECT count(*) FROM usage_records WHERE {condition}")  # noqa: S608
    return int(count)


def await_true(condition: Callable[[], object], within_s: float = 180) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not come true in time"
        time.sleep(0.1)


def test_a_locked_database_is_18_and_a_worker_that_starts_meanwhile_waits_for_it(
    start_server: Callable[..., Server],
) -> None:
    server = start_server()
    alice = server.caller()
    with sqlite3.connect(server.home / "var" / "ocr.sqlite") as locker:
        locker.execute("BEGIN EXCLUSIVE")
        answer = server.post(alice.body(picture=PICTURE))
        assert (answer.status_code, answer.json()["status_code"]) == (503, 18)
        assert answer.headers["Retry-After"] == "1"
        assert requests.get(f"{server.url}/healthz", timeout=5).ok
        os.kill(server.workers()[0], signal.SIGKILL)
        time.sleep(3)
        locker.rollback()
    assert server.post(alice.body(picture=PICTURE)).status_code == 200
