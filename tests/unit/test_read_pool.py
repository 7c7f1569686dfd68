"""ReadPool over gevent's real threads. Reads last until the test releases them, so that nothing is timed."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import Greenlet

from app.engine.admission_queue import FETCHING_COUNTS_S, FIRST_GUESS_S, NEWEST, AdmissionQueue
from app.engine.read_pool import ReadPool
from app.engine.watchdog import Watchdog
from app.errors import Busy, PictureUnsupported, ServiceError
from app.model.reading import Page, PictureInfo, ReadOptions, ReadResult
from app.ports import Clock, Reservation
from app.system.clock import SystemClock
from tests.fakes import FakeClock


class HeldReader:
    """Reads b"held..." until `release` is set, anything else at once."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.reading: list[bytes] = []
        self.seen: list[bytes] = []
        self.most_at_once = 0
        self.threads: set[int] = set()
        self._lock = threading.Lock()

    def __call__(self, data: bytes, options: ReadOptions) -> ReadResult:
        with self._lock:
            self.threads.add(threading.get_ident())
            self.seen.append(data)
            self.reading.append(data)
            self.most_at_once = max(self.most_at_once, len(self.reading))
        try:
            if data.startswith(b"held"):
                assert self.release.wait(20)
        finally:
            with self._lock:
                self.reading.remove(data)
        if data == b"unsupported":
            raise PictureUnsupported("no picture")
        if data == b"broken":
            raise ValueError("a bug")
        return ReadResult(Page((), data.decode()), PictureInfo(1, 1, "PNG", ""), 0, 0)

    def warm_up(self) -> None:
        pass


def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until the condition holds."""
    with gevent.Timeout(20):
        while not condition():
            gevent.sleep(0.001)


class Bench:
    def __init__(
        self,
        build: Callable[[], HeldReader] | None = None,
        *,
        threads: int = 1,
        queue_wait_s: float = 5,
        read_limit_s: float = 20,
        max_worker_mb: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.reader = HeldReader()
        self.refused: list[bytes] = []
        self.replaced: list[str] = []
        self.lengths: list[int] = []
        self.queue = AdmissionQueue(
            threads=threads,
            user_share=0.25,
            queue_wait_s=queue_wait_s,
            clock=self.clock,
            watch_length=self.lengths.append,
        )
        watchdog = Watchdog(
            read_limit_s=read_limit_s,
            max_worker_mb=max_worker_mb,
            refuse=self.refused.append,
            replace_worker=self.replaced.append,
        )
        self.pool = ReadPool(
            build or (lambda: self.reader), queue=self.queue, watchdog=watchdog, clock=self.clock
        )

    def read(
        self,
        data: bytes = b"picture",
        *,
        timeout_s: float = 20,
        cancelled: Callable[[], bool] = lambda: False,
        username: str = "",
    ) -> str:
        """The text that was read, or the name of the error."""
        try:
            with self.reserve(timeout_s, cancelled, username) as reservation:
                return reservation.read(data, ReadOptions())[0].page.model
        except ServiceError as error:
            return error.error

    def reserve(
        self, timeout_s: float = 20, cancelled: Callable[[], bool] = lambda: False, username: str = ""
    ) -> Reservation:
        return self.pool.reserve(self.clock.monotonic() + timeout_s, cancelled, username)

    def hold(self, data: bytes = b"held", *, timeout_s: float = 20) -> Greenlet:
        """A read that has a thread, and keeps it."""
        job = gevent.spawn(self.read, data, timeout_s=timeout_s)
        until(lambda: data in self.reader.reading)
        return job

    def wait(self, *names: str) -> list[Greenlet]:
        """A waiting picture of each of these users."""
        jobs = [gevent.spawn(self.read, name.encode(), username=name) for name in names]
        gevent.sleep(0)
        return jobs


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.pool.start()
    yield bench
    bench.reader.release.set()


def started(**options: Any) -> Bench:
    bench = Bench(**options)
    bench.pool.start()
    return bench


def test_reads_run_beside_the_loop_and_no_more_than_the_threads() -> None:
    bench = started(threads=2)
    jobs = [gevent.spawn(bench.read, f"held {number}".encode()) for number in range(4)]
    until(lambda: len(bench.reader.reading) == 2)  # the loop runs meanwhile
    bench.reader.release.set()
    assert sorted(job.get() for job in jobs) == ["held 0", "held 1", "held 2", "held 3"]
    assert bench.reader.most_at_once == 2
    assert threading.get_ident() not in bench.reader.threads


def test_the_reader_is_built_in_a_native_thread_and_warmed_up_before_it_is_ready() -> None:
    reader, built, ready = HeldReader(), [], []

    def build() -> HeldReader:
        built.append(threading.get_ident())
        return reader

    bench = Bench(build)
    reader.warm_up = lambda: ready.append(bench.pool.ready())  # type: ignore[method-assign]
    bench.pool.start()
    assert (ready, bench.pool.ready()) == ([False], True)
    assert built != [threading.get_ident()]


def test_nothing_is_admitted_before_the_start() -> None:
    bench = Bench()
    assert not bench.pool.ready()
    assert bench.read() == "busy"


def test_an_engine_that_cannot_be_built_says_why() -> None:
    def build() -> HeldReader:
        raise RuntimeError("no models")

    with pytest.raises(RuntimeError, match="no models"):
        Bench(build).pool.start()


def test_a_refused_picture_gets_no_thread() -> None:
    bench = started(queue_wait_s=FIRST_GUESS_S)
    first = bench.hold()
    second = gevent.spawn(bench.read)
    gevent.sleep(0)
    assert bench.read(b"refused") == "busy"
    bench.reader.release.set()
    assert (first.get(), second.get()) == ("held", "picture")
    assert b"refused" not in bench.reader.seen


def test_a_failure_in_the_thread_reaches_its_caller_alone(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    pictures = (b"unsupported", b"picture", b"broken")
    assert [bench.read(data) for data in pictures] == ["picture_unsupported", "picture", "ocr_failed"]
    assert capfd.readouterr().err == ""


def test_a_read_whose_callers_deadline_passes_keeps_its_thread(bench: Bench) -> None:
    assert bench.hold(timeout_s=0.05).get() == "busy"
    assert bench.pool.ready()
    assert not bench.replaced
    assert bench.lengths == [1]
    [waiting] = bench.wait("alice")
    bench.reader.release.set()
    assert waiting.get() == "alice"
    assert bench.lengths[-1] == 0


def test_a_waiting_picture_counts_for_as_long_as_it_waits() -> None:
    clock = FakeClock()
    bench = started(clock=clock)
    jobs = [bench.hold(), *bench.wait("alice")]
    clock.advance(FETCHING_COUNTS_S)
    assert bench.queue.expected_wait_s("bob") == 2 * FIRST_GUESS_S
    bench.reader.release.set()
    gevent.joinall(jobs, raise_error=True)


def test_the_time_of_a_read_is_measured() -> None:
    clock = FakeClock()
    bench = started(clock=clock)
    reading = bench.hold()
    clock.advance(10)
    bench.reader.release.set()
    assert reading.get() == "held"
    with bench.reserve():
        assert bench.queue.expected_wait_s("") == FIRST_GUESS_S + NEWEST * (10 - FIRST_GUESS_S)


def test_waiting_ends_with_the_queue_limit() -> None:
    bench = started(queue_wait_s=0.04)
    for _ in range(20):
        bench.queue.read_took(0)
    first = bench.hold()
    assert bench.read(b"second") == "busy"
    bench.reader.release.set()
    assert first.get() == "held"
    assert bench.read() == "picture"
    assert b"second" not in bench.reader.seen


def test_a_waiting_picture_is_dropped_once_its_caller_has_hung_up(bench: Bench) -> None:
    """Others get its turn, and no thread ever sees it."""
    first, hung_up = bench.hold(), threading.Event()
    dropped = gevent.spawn(bench.read, b"dropped", cancelled=hung_up.is_set)
    others = bench.wait("alice", "bob")
    assert not dropped.ready()
    hung_up.set()
    assert dropped.get() == "busy"
    assert bench.reader.reading == [b"held"]
    bench.reader.release.set()
    assert [job.get() for job in (first, *others)] == ["held", "alice", "bob"]
    assert b"dropped" not in bench.reader.seen


def test_a_caller_who_hangs_up_before_the_picture_is_there_gets_no_thread(bench: Bench) -> None:
    hung_up = threading.Event()
    with bench.reserve(cancelled=hung_up.is_set) as reservation:
        hung_up.set()
        with pytest.raises(Busy, match="hung up"):
            reservation.read(b"picture", ReadOptions())
    with pytest.raises(Busy, match="hung up"):
        bench.reserve(cancelled=hung_up.is_set)
    assert not bench.reader.seen


def test_a_caller_that_is_killed_gives_its_turn_back(bench: Bench) -> None:
    bench.hold()
    killed, other = bench.wait("alice", "bob")
    killed.kill()
    bench.reader.release.set()
    assert other.get() == "bob"
    assert b"alice" not in bench.reader.seen


def test_users_take_turns_at_the_threads(bench: Bench) -> None:
    bench.hold()
    jobs = bench.wait("alice", "alice", "alice", "bob", "bob", "carol")
    bench.reader.release.set()
    gevent.joinall(jobs, raise_error=True)
    assert bench.reader.seen == [b"held", b"alice", b"bob", b"carol", b"alice", b"bob", b"alice"]


def test_the_length_of_the_queue_is_reported_whenever_it_changes(bench: Bench) -> None:
    first, waiting = bench.hold(), bench.wait("alice", "bob")
    bench.reader.release.set()
    gevent.joinall([first, *waiting], raise_error=True)
    assert bench.lengths == [1, 2, 3, 2, 1, 0]


def test_a_read_over_its_limit_is_answered_and_the_worker_replaced() -> None:
    bench = started(read_limit_s=0.1)
    assert bench.hold().get() == "ocr_failed"
    until(lambda: bool(bench.replaced))
    assert bench.refused == [b"held"]
    assert bench.replaced == ["a read took over 0.1 s"]
    assert not bench.pool.ready()
    assert bench.read() == "busy"
    bench.reader.release.set()


def test_a_read_within_its_limit_leaves_the_worker_alone() -> None:
    bench = started(read_limit_s=0.2)
    assert bench.read() == "picture"
    gevent.sleep(0.25)
    assert bench.pool.ready()
    assert not bench.replaced


def test_a_worker_that_is_too_large_asks_once_to_be_replaced_and_goes_on_until_it_is() -> None:
    bench = started(max_worker_mb=1)
    assert not bench.replaced
    assert [bench.read(data) for data in (b"unsupported", b"a", b"b")] == ["picture_unsupported", "a", "b"]
    [why] = bench.replaced
    assert not bench.refused
    assert re.fullmatch(r"\d+ MB are more than 1", why)
    assert bench.pool.ready()


@pytest.mark.parametrize("max_worker_mb", [0, 1_000_000])
def test_a_worker_that_is_not_too_large_stays(max_worker_mb: int) -> None:
    bench = started(max_worker_mb=max_worker_mb)
    assert bench.read() == "picture"
    assert not bench.replaced
