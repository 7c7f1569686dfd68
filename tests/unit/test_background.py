"""Jobs in native threads beside gevent's loop, which goes on meanwhile."""

from __future__ import annotations

import time
from _thread import get_ident

import gevent
import pytest
from gevent.event import Event

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
    jobs = [gevent.spawn(threads.run, lambda n=n: (n, get_ident())) for n in range(1000)]
    found = [job.get() for job in jobs]
    assert [number for number, _ in found] == list(range(1000))
    assert len({thread for _, thread in found}) == 2


def test_what_a_job_raises_reaches_its_caller_and_the_thread_lives() -> None:
    threads = NativeThreads(1)
    with pytest.raises(ZeroDivisionError):
        threads.run(lambda: 1 // 0)
    assert threads.run(lambda: 1) == 1


def test_a_job_whose_caller_was_killed_is_done_and_the_thread_lives() -> None:
    threads, begun, ended = NativeThreads(1), Event(), []

    def job() -> None:
        time.sleep(0.1)
        ended.append(True)

    def call() -> None:
        begun.set()
        threads.run(job)

    caller = gevent.spawn(call)
    begun.wait()
    caller.kill()
    assert threads.run(lambda: list(ended)) == [True]
