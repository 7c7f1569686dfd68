"""NativeThreads over gevent's real pool, with reads that sleep in place of the engine."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import gevent
import pytest

from app.engine.read_pool import FIRST_GUESS_S, NativeThreads
from app.errors import Busy, PictureUnsupported, ServiceError
from app.model.reading import Page, PictureInfo, ReadOptions, ReadResult
from app.system.clock import SystemClock

CLOCK = SystemClock()


class SleepyReader:
    """Reads b"0.2" in 0.2 s, and fails at what is no number; knows how many read at once."""

    def __init__(self) -> None:
        self.at_once = 0
        self.most_at_once = 0
        self.threads: set[int] = set()
        self._lock = threading.Lock()

    def __call__(self, data: bytes, options: ReadOptions) -> ReadResult:
        if data == b"unsupported":
            raise PictureUnsupported("no picture")
        with self._lock:
            self.threads.add(threading.get_ident())
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(float(data))
        with self._lock:
            self.at_once -= 1
        return ReadResult(Page((), data.decode()), PictureInfo(1, 1, "PNG", ""), 0, 0)

    def warm_up(self) -> None:
        pass


class Bench:
    def __init__(
        self,
        *,
        threads: int = 2,
        queue_wait_s: float = 5,
        read_limit_s: float = 20,
        max_worker_mb: int = 0,
    ) -> None:
        self.reader = SleepyReader()
        self.refused: list[bytes] = []
        self.replaced: list[str] = []
        self.lengths: list[int] = []
        self.offload = NativeThreads(
            lambda: self.reader,
            threads=threads,
            user_share=0.25,
            queue_wait_s=queue_wait_s,
            read_limit_s=read_limit_s,
            max_worker_mb=max_worker_mb,
            clock=CLOCK,
            refuse=self.refused.append,
            replace_worker=self.replaced.append,
            watch_queue=self.lengths.append,
        )
        self.offload.start()

    def read(
        self, data: bytes = b"0.1", timeout_s: float = 20, fetching_s: float = 0, username: str = ""
    ) -> str:
        """The text that was read, or the name of the error."""
        deadline = CLOCK.monotonic() + timeout_s
        try:
            with self.offload.reserve(deadline, username=username) as place:
                gevent.sleep(fetching_s)
                return place.read(data, ReadOptions())[0].page.model
        except ServiceError as error:
            return error.error

    def read_all(self, *data: bytes, **options: float) -> list[str]:
        jobs = [gevent.spawn(self.read, d, **options) for d in data]
        return [job.get() for job in jobs]


def unstarted(build: Callable[[], SleepyReader]) -> NativeThreads:
    return NativeThreads(
        build,
        threads=1,
        user_share=0.25,
        queue_wait_s=1,
        read_limit_s=1,
        max_worker_mb=0,
        clock=CLOCK,
        refuse=lambda data: None,
        replace_worker=lambda why: None,
        watch_queue=lambda length: None,
    )


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield Bench()


def test_reads_run_beside_the_loop_and_no_more_than_the_threads(bench: Bench) -> None:
    turns = 0

    def tick() -> None:
        nonlocal turns
        while True:
            gevent.sleep(0.01)
            turns += 1

    ticking = gevent.spawn(tick)
    data = [f"0.1{i}".encode() for i in range(6)]
    assert sorted(bench.read_all(*data)) == sorted(d.decode() for d in data)
    ticking.kill()
    assert bench.reader.most_at_once == 2
    assert threading.get_ident() not in bench.reader.threads
    assert turns > 5


def test_it_is_warmed_up_before_it_is_ready() -> None:
    offload = unstarted(lambda: reader)
    reader = SleepyReader()
    reader.warm_up = lambda: seen.append(offload.ready())  # type: ignore[method-assign]
    seen: list[bool] = []
    offload.start()
    assert (seen, offload.ready()) == ([False], True)


def test_nothing_is_taken_before_the_start() -> None:
    offload = unstarted(SleepyReader)
    assert not offload.ready()
    with pytest.raises(Busy):
        offload.reserve(CLOCK.monotonic() + 10)


def test_a_newcomer_who_would_wait_too_long_is_refused_at_once_and_told_when_to_come_back() -> None:
    bench = Bench(threads=1, queue_wait_s=2 * FIRST_GUESS_S)
    with bench.offload.reserve(CLOCK.monotonic() + 20), bench.offload.reserve(CLOCK.monotonic() + 20):
        places = bench.offload.reserve(CLOCK.monotonic() + 20)
        with places, pytest.raises(Busy) as caught:
            bench.offload.reserve(CLOCK.monotonic() + 20)
    assert (caught.value.retry_after or 0) >= 1
    assert bench.read() == "0.1"


@pytest.mark.parametrize(("first", "second"), [(b"2.2", "0.1"), (b"4", "busy")])
def test_whoever_was_let_in_may_wait_a_little_longer(first: bytes, second: str) -> None:
    bench = Bench(threads=1, queue_wait_s=2)
    reading = gevent.spawn(bench.read, first)
    gevent.sleep(0.05)
    assert bench.read() == second
    assert reading.get() == first.decode()


def test_a_newcomer_whose_own_deadline_is_too_near_is_refused() -> None:
    bench = Bench(threads=1)
    first = gevent.spawn(bench.read, b"0.6")
    gevent.sleep(0.05)
    assert bench.read(timeout_s=FIRST_GUESS_S / 2) == "busy"
    assert bench.read(timeout_s=FIRST_GUESS_S * 20) == "0.1"
    assert first.get() == "0.6"


def test_a_free_thread_is_given_however_long_reads_were_so_far() -> None:
    """Else a few large pictures would shut out everybody with less time, for ever."""
    bench = Bench(threads=1)
    for _ in range(2):
        assert bench.read(b"2") == "2"
    assert bench.read(b"0.01", timeout_s=1) == "0.01"


def test_an_abandoned_read_keeps_its_place_until_its_thread_is_free() -> None:
    bench = Bench(threads=1, queue_wait_s=FIRST_GUESS_S / 2)
    assert bench.read(b"2.5", timeout_s=0.2) == "busy"
    with pytest.raises(Busy):
        bench.offload.reserve(CLOCK.monotonic() + 20)
    while bench.lengths[-1]:
        gevent.sleep(0.05)
    assert bench.read() == "0.1"


def test_a_slow_picture_host_does_not_keep_others_out() -> None:
    bench = Bench(threads=1, queue_wait_s=FIRST_GUESS_S)
    slow = [gevent.spawn(bench.read, fetching_s=3) for _ in range(2)]
    gevent.sleep(1.1)
    assert bench.read() == "0.1"
    assert [job.get() for job in slow] == ["0.1", "0.1"]


def test_a_read_that_waits_is_cancelled_once_its_caller_has_hung_up() -> None:
    """Its place goes to others at once, and no thread ever sees it."""
    bench = Bench(threads=1)
    gone = threading.Event()
    first = gevent.spawn(bench.read, b"1.5")
    gevent.sleep(0.05)
    with bench.offload.reserve(CLOCK.monotonic() + 20, gone.is_set) as place:
        gevent.spawn_later(0.2, gone.set)
        with pytest.raises(Busy, match="hung up"):
            place.read(b"0.1", ReadOptions())
    assert bench.reader.at_once == 1  # the first one is still at it
    with pytest.raises(Busy, match="hung up"):
        bench.offload.reserve(CLOCK.monotonic() + 20, gone.is_set)
    assert bench.read_all(b"0.11", b"0.12") == ["0.11", "0.12"]
    assert first.get() == "1.5"


def test_a_caller_who_hung_up_while_the_picture_was_fetched_gets_no_thread(bench: Bench) -> None:
    gone = threading.Event()
    with bench.offload.reserve(CLOCK.monotonic() + 20, gone.is_set) as place:
        gone.set()
        with pytest.raises(Busy, match="hung up"):
            place.read(b"0.1", ReadOptions())
    assert not bench.reader.threads


def test_pictures_that_never_come_take_no_more_than_their_users_share() -> None:
    """Of a room of eight: whoever sends more is refused itself, and two of them leave room for others."""
    bench = Bench(threads=1, queue_wait_s=8 * FIRST_GUESS_S)
    with ExitStack() as places:

        def taken_by(username: str) -> int:
            for taken in range(20):
                try:
                    place = bench.offload.reserve(CLOCK.monotonic() + 20, username=username)
                except Busy:
                    return taken
                places.enter_context(place)
            return 20

        assert taken_by("alice") == 9  # one is being read
        assert 2 < taken_by("bob") < 9
        assert taken_by("carol") > 0


def test_one_user_who_fills_the_queue_delays_another_by_one_read() -> None:
    bench = Bench(threads=1, queue_wait_s=8 * FIRST_GUESS_S)
    order: list[str] = []

    def read(username: str) -> None:
        assert bench.read(b"0.05", username=username) == "0.05"
        order.append(username)

    flood = [gevent.spawn(read, "alice") for _ in range(9)]
    gevent.sleep(0.01)
    assert bench.read(username="alice") == "busy"
    others = [gevent.spawn(read, name) for name in ("bob", "bob", "carol")]
    gevent.joinall(flood + others, raise_error=True)
    assert order[:6] == ["alice", "alice", "bob", "carol", "alice", "bob"]


def test_beside_others_a_user_queues_no_more_than_its_part() -> None:
    """Else its last pictures would wait twice as long as was estimated."""
    bench = Bench(threads=1, queue_wait_s=16 * FIRST_GUESS_S)
    with ExitStack() as places:
        places.enter_context(bench.offload.reserve(CLOCK.monotonic() + 20, username="bob"))
        taken = 0
        with pytest.raises(Busy):
            for _ in range(20):
                place = bench.offload.reserve(CLOCK.monotonic() + 20, username="alice")
                places.enter_context(place)
                taken += 1
        assert taken == 8


def test_waiting_ends_with_the_queue_limit() -> None:
    bench = Bench(threads=1, queue_wait_s=FIRST_GUESS_S)
    first = gevent.spawn(bench.read, b"3")
    gevent.sleep(0.05)
    assert bench.read() == "busy"
    assert first.get() == "3"


def test_a_deadline_that_passes_while_reading_is_answered_in_time() -> None:
    bench = Bench(threads=1)
    started = time.monotonic()
    assert bench.read(b"5", timeout_s=1) == "busy"
    assert time.monotonic() - started < 4
    assert bench.offload.ready()
    assert not bench.replaced


def test_a_read_over_its_limit_is_answered_and_the_worker_replaced() -> None:
    bench = Bench(threads=2, read_limit_s=1)
    other = gevent.spawn(bench.read, b"0.3")
    assert bench.read(b"3") == "ocr_failed"
    assert other.get() == "0.3"
    gevent.sleep(0.1)
    assert bench.refused == [b"3"]
    assert bench.replaced == ["a read took over 1 s"]
    assert not bench.offload.ready()
    assert bench.read() == "busy"


def test_a_worker_that_is_too_large_asks_once_to_be_replaced_and_goes_on_until_it_is() -> None:
    bench = Bench(max_worker_mb=1)
    assert not bench.replaced
    assert bench.read_all(b"unsupported", b"0.1", b"0.1") == ["picture_unsupported", "0.1", "0.1"]
    [why] = bench.replaced
    assert not bench.refused
    assert re.fullmatch(r"\d+ MB are more than 1", why)
    assert bench.offload.ready()


@pytest.mark.parametrize("max_worker_mb", [0, 1_000_000])
def test_a_worker_that_is_not_too_large_stays(max_worker_mb: int) -> None:
    bench = Bench(max_worker_mb=max_worker_mb)
    assert bench.read() == "0.1"
    assert not bench.replaced


def test_a_failure_in_the_thread_reaches_its_caller_alone(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    assert bench.read_all(b"unsupported", b"0.1", b"no number") == [
        "picture_unsupported",
        "0.1",
        "ocr_failed",
    ]
    assert capfd.readouterr().err == ""


def test_the_engine_is_built_in_a_native_thread() -> None:
    built: list[int] = []

    def build() -> SleepyReader:
        built.append(threading.get_ident())
        return SleepyReader()

    unstarted(build).start()
    assert built != [threading.get_ident()]


def test_an_engine_that_cannot_be_built_says_why() -> None:
    def build() -> SleepyReader:
        raise RuntimeError("no models")

    offload = unstarted(build)
    with pytest.raises(RuntimeError, match="no models"):
        offload.start()


def test_the_length_of_the_queue_is_told_whenever_it_changes(bench: Bench) -> None:
    assert bench.read_all(b"0.1", b"0.1", b"0.1") == ["0.1"] * 3
    assert bench.lengths == [1, 2, 3, 2, 1, 0]
