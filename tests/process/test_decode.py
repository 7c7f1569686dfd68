"""Pictures that exceed their budget, on a real server: refused in time, and in nobody's way."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.decode_cost import children
from tests.hostile import bombs
from tests.process.conftest import Server
from tests.process.test_crash import await_true, small

TOO_LARGE = {"status_code": 15, "error": "picture_too_large", "stage": "decode"}


@pytest.fixture(scope="module")
def tight(start_server: Callable[..., Server]) -> Server:
    """A server whose budget of CPU is soon spent."""
    return start_server(WEB_CONCURRENCY=1, OCR_ENGINE__THREADS=2, OCR_LIMITS__DECODE_CPU_S=1)


def hosts(server: Server) -> list[int]:
    return [child for worker in server.workers() for child in children(worker)]


def running(processes: list[int]) -> list[int]:
    """Those that have not ended; a zombie of somebody else's has."""
    found = []
    for process in processes:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(process)
        except OSError:
            continue
    return found


def test_bombs_are_refused_while_another_user_is_served(tight: Server) -> None:
    attacker, bystander = tight.caller("attacker"), tight.caller("bystander")
    dice = random.Random(7)  # noqa: S311
    slow = [bombs.short_runs(dice).data for _ in range(2)]
    workers, started = tight.workers(), hosts(tight)

    def seconds() -> float:
        begun = time.monotonic()
        assert tight.post(bystander.body(picture=small())).status_code == 200
        return time.monotonic() - begun

    quiet = statistics.median(seconds() for _ in range(5))
    with ThreadPoolExecutor(1) as pool:
        answers = [pool.submit(tight.post, attacker.body(picture=data)) for data in slow]
        meanwhile = []
        while not all(answer.done() for answer in answers):
            meanwhile.append(seconds())
    for answer in answers:
        body = answer.result().json()
        assert {name: body[name] for name in TOO_LARGE} == TOO_LARGE
        assert answer.result().status_code == 422
    # A core of its own at best; on one core it shares what there is with one bomb.
    assert statistics.median(meanwhile) < 3 * quiet + 0.2
    assert (tight.workers(), hosts(tight)) == (workers, started)
    assert 'ocr_failed_stages_total{stage="decode",status_code="15"} 2.0' in tight.metrics()
    assert "s of CPU" in tight.log("ocr.log")


def test_a_crash_of_the_decoder_is_nobody_elses(tight: Server) -> None:
    caller = tight.caller("unlucky")
    workers, [host] = tight.workers(), hosts(tight)
    idle = set(children(host))
    data = bombs.short_runs(random.Random(8)).data  # noqa: S311
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(tight.post, caller.body(picture=data))
        await_true(lambda: set(children(host)) - idle)
        [child] = set(children(host)) - idle
        await_true(lambda: int(Path(f"/proc/{child}/stat").read_text().split()[13]) >= 5)
        os.kill(child, signal.SIGSEGV)
        body = sent.result().json()
    assert (body["status_code"], body["stage"]) == (16, "decode")
    assert tight.post(caller.body(picture=small())).status_code == 200
    assert tight.workers() == workers
    assert "the decoder crashed: signal 11" in tight.log("ocr.log")


def test_a_host_that_was_killed_is_replaced(tight: Server) -> None:
    caller = tight.caller("patient")
    [host] = hosts(tight)
    os.kill(host, signal.SIGKILL)

    def replaced() -> bool:
        """By the next picture that finds it gone, which is read all the same."""
        assert tight.post(caller.body(picture=small())).status_code == 200
        return host not in hosts(tight)

    await_true(replaced)
    assert len(hosts(tight)) == 1


def test_no_host_outlives_its_worker(tight: Server) -> None:
    """Killed, or ended in good order. The last test here: it stops the server."""
    [worker], [host] = tight.workers(), hosts(tight)
    family = [host, *children(host)]
    os.kill(worker, signal.SIGKILL)
    await_true(lambda: not running(family), within_s=90)
    await_true(lambda: [host] != hosts(tight) != [], within_s=90)
    tight.await_ready()
    [host] = hosts(tight)
    family = [host, *children(host)]
    tight.stop()
    await_true(lambda: not running(family), within_s=90)
