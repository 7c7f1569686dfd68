"""Which pictures are admitted: arithmetic under a clock that stands still."""

from __future__ import annotations

import math

import pytest

from app.engine.admission_queue import (
    FETCHING_COUNTS_S,
    FIRST_GUESS_S,
    GRACE,
    NEWEST,
    AdmissionQueue,
    QueueEntry,
)
from app.errors import Busy
from app.limits.shares import UserPlace, UserShares
from tests.fakes import FakeClock


class Queue:
    """Room for pictures that take FIRST_GUESS_S each, of which one is read at once."""

    def __init__(self, *, room: float, threads: int = 1) -> None:
        self.clock = FakeClock()
        self.lengths: list[int] = []
        self.queue = AdmissionQueue(
            threads=threads,
            user_share=0.25,
            queue_wait_s=room * FIRST_GUESS_S / threads,
            clock=self.clock,
            watch_length=self.lengths.append,
        )

    def admit(self, username: str = "", *, time_left_s: float = math.inf) -> QueueEntry:
        entry = self.queue.admit(username, self.clock.monotonic() + time_left_s)
        self.queue.enter(entry)
        return entry

    def read(self, username: str = "") -> QueueEntry:
        """Admitted, and in a thread."""
        entry = self.admit(username)
        entry.picture_ready = entry.reading = True
        return entry

    def admitted(self, username: str = "", *, time_left_s: float = math.inf) -> bool:
        try:
            self.queue.admit(username, self.clock.monotonic() + time_left_s)
        except Busy:
            return False
        return True

    def fill(self, username: str) -> int:
        """How many pictures of this user are admitted."""
        admitted = 0
        while self.admitted(username):
            self.admit(username)
            admitted += 1
        return admitted


def test_the_expected_wait_is_the_reads_before_it_by_the_threads() -> None:
    one, two = Queue(room=100), Queue(room=100, threads=2)
    waits = []
    for _ in range(4):
        waits.append((one.queue.expected_wait_s(""), two.queue.expected_wait_s("")))
        one.admit()
        two.admit()
    assert waits == [(0, 0), (0.5, 0), (1, 0.25), (1.5, 0.5)]


@pytest.mark.parametrize(("room", "retry_after"), [(2, 1), (4, 2), (8, 3), (20, 6)])
def test_a_picture_that_would_wait_too_long_is_refused_until_half_of_the_queue_is_read(
    room: int, retry_after: int
) -> None:
    queue = Queue(room=room)
    queue.read()
    for _ in range(room):
        queue.admit()
    with pytest.raises(Busy) as refused:
        queue.admit()
    assert refused.value.retry_after == retry_after


def test_room_comes_with_a_picture_that_leaves() -> None:
    queue = Queue(room=1)
    queue.read()
    second = queue.admit()
    assert not queue.admitted()
    queue.queue.leave(second)
    assert queue.admitted()


def test_a_picture_whose_read_would_end_after_its_deadline_is_refused() -> None:
    queue = Queue(room=10)
    queue.read()
    assert not queue.admitted(time_left_s=1.9 * FIRST_GUESS_S)
    assert queue.admitted(time_left_s=2 * FIRST_GUESS_S)


def test_a_picture_that_need_not_wait_is_admitted_however_long_reads_were_so_far() -> None:
    """Else a few large pictures would shut out everybody with less time, for ever."""
    queue = Queue(room=10)
    for _ in range(10):
        queue.queue.read_took(100)
    assert queue.admitted(time_left_s=0.1)


def test_the_time_of_a_read_is_a_moving_average() -> None:
    queue = Queue(room=10)
    queue.read()
    queue.queue.read_took(FIRST_GUESS_S + 1)
    assert queue.queue.expected_wait_s("") == pytest.approx(FIRST_GUESS_S + NEWEST)
    for _ in range(50):
        queue.queue.read_took(2)
    assert queue.queue.expected_wait_s("") == pytest.approx(2, rel=0.01)


def test_a_slow_picture_host_keeps_others_out_for_a_moment_only() -> None:
    queue = Queue(room=1)
    fetching = [queue.admit(), queue.admit()]
    assert not queue.admitted()
    queue.clock.advance(FETCHING_COUNTS_S)
    assert queue.admitted()
    for entry in fetching:
        entry.picture_ready = True
    assert not queue.admitted()


def test_a_read_whose_caller_has_gone_keeps_others_out() -> None:
    queue = Queue(room=0.5)
    reading = queue.read()
    queue.clock.advance(60)
    assert not queue.admitted()
    queue.queue.leave(reading)
    assert queue.admitted()


def test_an_admitted_picture_may_wait_a_little_longer_but_not_past_its_deadline() -> None:
    queue = Queue(room=4)
    now = queue.clock.monotonic()
    assert queue.queue.wait_until(queue.admit(time_left_s=60)) == now + GRACE * 4 * FIRST_GUESS_S
    assert queue.queue.wait_until(queue.admit(time_left_s=2)) == now + 2


def test_a_picture_that_got_no_thread_may_come_back_when_half_of_the_queue_is_read() -> None:
    queue = Queue(room=8)
    queue.read()
    for _ in range(8):
        last = queue.admit()
    assert queue.queue.waited_too_long(last).retry_after == 3


def test_pictures_that_never_come_take_no_more_than_their_users_share() -> None:
    """Of a room of eight: who sends more is refused, and two such users leave room for others."""
    queue = Queue(room=8)
    assert queue.fill("alice") == 9  # one of them need not wait
    assert 2 < queue.fill("bob") < 9
    assert queue.fill("carol") > 0


def test_beside_others_a_user_queues_no_more_than_its_part() -> None:
    """Else the last pictures of this user would wait twice as long as was estimated."""
    queue = Queue(room=16)
    queue.admit("bob")
    assert queue.fill("alice") == 8


@pytest.mark.parametrize("waiting", ["", "aaa", "b", "aab", "bbbaa", "abcabc", "ccccccba", "acbbbbbb"])
def test_the_estimate_is_what_the_turns_of_the_users_give(waiting: str) -> None:
    """Exact, or too long by the users who have had their turn before: never too short."""
    queue, turns = Queue(room=100), UserShares(1, 1, FakeClock(), what="thread")
    reading = turns.ask("somebody")
    queue.read("somebody")
    others = [turns.ask(username) for username in waiting]
    for username in waiting:
        queue.admit(username)
    estimate = queue.queue.expected_wait_s("a") / FIRST_GUESS_S
    reads = reads_before(turns.ask("a"), turns, [reading, *others])
    assert reads <= estimate < reads + len({*waiting, "a"})


def reads_before(newcomer: UserPlace, turns: UserShares, others: list[UserPlace]) -> int:
    reads = 0
    while not newcomer.served.is_set():
        done = next(turn for turn in others if turn.served.is_set())
        others.remove(done)
        turns.give_back(done)
        reads += 1
    return reads


def test_the_length_of_the_queue_is_reported_whenever_it_changes() -> None:
    queue = Queue(room=8)
    entries = [queue.admit() for _ in range(2)]
    for entry in entries:
        queue.queue.leave(entry)
    assert queue.lengths == [1, 2, 1, 0]
