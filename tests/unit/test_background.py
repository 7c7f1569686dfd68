"""Jobs in native threads beside gevent's loop, which goes on meanwhile."""

from __future__ import annotations

import time
from _thread import get_ident
from functools import partial

import gevent
import pytest
from gevent.exceptions import InvalidSwitchError

from app.system.background import NativeThreads


def test_the_loop_goes_on_while_a_job_waits() -> None:
    threads, order = NativeThreads(1), []

    def job() -> int:
        time.sleep(0.1)
        order.append("job")
        return get_ident()

    running = gevent.spawn(threads.run, job)
    gevent.spawn_later(0.01, order.append, "loop").join()
    assert running.get() != get_ident()
    assert order == ["loop", "job"]


def test_jobs_wait_for_a_thread_in_turn_and_get_their_own_outcome() -> None:
    threads = NativeThreads(2)

    def job(number: int) -> tuple[int, int]:
        time.sleep(0.001)  # so that the other thread takes the next one
        return number, get_ident()

    jobs = [gevent.spawn(threads.run, partial(job, number)) for number in range(500)]
    found = [running.get() for running in jobs]
    assert [number for number, _ in found] == list(range(500))
    assert len({thread for _, thread in found}) == 2


def test_what_a_job_raises_reaches_its_caller_and_the_thread_lives() -> None:
    threads = NativeThreads(1)
    with pytest.raises(ZeroDivisionError):
        threads.run(lambda: 1 // 0)
    assert threads.run(lambda: 1) == 1


def test_a_job_whose_caller_was_killed_meanwhile_is_done_and_the_thread_lives() -> None:
    threads, begun, ended = NativeThreads(1), [], []

    def job() -> None:
        begun.append(True)
        time.sleep(0.1)
        ended.append(True)

    caller = gevent.spawn(threads.run, job)
    while not begun:
        gevent.sleep(0.001)
    caller.kill()
    assert threads.run(lambda: list(ended)) == [True]


def test_a_job_whose_caller_was_killed_before_its_turn_is_not_done() -> None:
    threads, done = NativeThreads(1), []
    running = gevent.spawn(threads.run, lambda: time.sleep(0.1))
    waiting = gevent.spawn(threads.run, lambda: done.append(True))
    gevent.sleep(0.01)
    waiting.kill()
    running.join()
    assert threads.run(lambda: list(done)) == []


def test_a_caller_that_is_woken_too_early_does_not_take_its_job_for_done() -> None:
    threads = NativeThreads(1)
    caller = gevent.spawn(threads.run, lambda: time.sleep(0.1))
    gevent.sleep(0.01)
    gevent.get_hub().loop.run_callback(caller.switch)
    with pytest.raises(InvalidSwitchError):
        caller.get()
