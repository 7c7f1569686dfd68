"""How well the time of an answer tells which user names exist: `python -m tests.names_by_time`.

Each round asks once for a name of every kind, in random order, with a wrong signature. A classifier learns a
threshold of time on one half of the rounds and is tested on the other half, and the other way round.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import random
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import fmean

from app.state.sql.store import SqlStore
from app.system.clock import SystemClock
from config.settings import Settings
from tests.contract.state import sql_store
from tests.process.conftest import Server, launch
from tests.process.test_database import environment, flask
from tests.servers import redis_before_mariadb
from tests.signing import Caller

REFUSED_URL = "http://10.0.0.1/a.png"  # code 13, once the signature was found right
BOUND = 0.55
REPEATED = 10
KNOWN = ("known", "disabled", "cached")
"""The kinds of names that must look like unknown ones."""

Names = Mapping[str, Callable[[int], str]]
"""By kind, the name to ask for in a round."""


def seconds_taken(bind: str, names: Names, rounds: int) -> dict[str, list[float]]:
    """By kind, the seconds from each request to the end of its answer."""
    taken: dict[str, list[float]] = {kind: [] for kind in names}
    with closing(http.client.HTTPConnection(bind, timeout=60)) as connection:
        for number in range(rounds):
            for kind in random.sample(list(names), len(names)):
                body = Caller(names[kind](number), "another secret").body(picture_url=REFUSED_URL)
                text = json.dumps(body)
                started = time.perf_counter()
                connection.request("POST", "/ocr", text, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                taken[kind].append(time.perf_counter() - started)
                assert answer.status == 401, answer.status
    return taken


def told_apart(one: Sequence[float], other: Sequence[float]) -> float:
    """The share of answers that the classifier assigns to the right kind; 0.5 is chance."""
    half = len(one) // 2
    first, second = (one[:half], other[:half]), (one[half:], other[half:])
    return fmean((_tested(_learnt(*first), *second), _tested(_learnt(*second), *first)))


def by_chance(rounds: int, deviations: float = 3) -> float:
    """0.5 and so many standard deviations of chance: told_apart stays below three in 998 of 1,000 runs."""
    return 0.5 + deviations * 0.5 / math.sqrt(2 * rounds)


def means(taken: Sequence[float], count: int) -> list[float]:
    """Of so many answers each."""
    return [fmean(taken[start : start + count]) for start in range(0, len(taken), count)]


def _learnt(one: Sequence[float], other: Sequence[float]) -> tuple[float, bool]:
    """The best threshold, and whether the first kind lies below it."""
    one, other = sorted(one), sorted(other)
    shares = [(_right(threshold, one, other), threshold) for threshold in (*one, *other)]
    (least, low), (most, high) = min(shares), max(shares)
    return (high, True) if most >= 1 - least else (low, False)


def _tested(learnt: tuple[float, bool], one: Sequence[float], other: Sequence[float]) -> float:
    threshold, one_is_below = learnt
    right = _right(threshold, sorted(one), sorted(other))
    return right if one_is_below else 1 - right


def _right(threshold: float, one: Sequence[float], other: Sequence[float]) -> float:
    """The share that is right where what took less than the threshold is taken for the first kind. Sorted."""
    below = bisect_left(one, threshold) / len(one)
    return (below + 1 - bisect_left(other, threshold) / len(other)) / 2


def add_users(store: SqlStore, *, in_use: str, rounds: int) -> Names:
    """A disabled user, and one a round whom no cache has seen. in_use: one that the caches have."""
    for name in ("disabled", *(f"known-{number}" for number in range(rounds))):
        store.users.add(name)
    store.users.set_enabled("disabled", False)
    return {
        "unknown": "stranger-{}".format,
        "known": "known-{}".format,
        "disabled": lambda number: "disabled",
        "cached": lambda number: in_use,
    }


@contextmanager
def serving(home: Path, state: Mapping[str, str], rounds: int) -> Iterator[tuple[Server, Names]]:
    """A server of its own, and the names to ask it for."""
    url = state.get("OCR_STATE__DATABASE_URL", f"sqlite:///{home}/var/ocr.sqlite")
    made = flask({**environment(home, url), **state}, "db", "init")
    assert made.returncode == 0, made.stderr
    with closing(sql_store(home, SystemClock(), database_url=url)) as store:
        alice = Caller("alice", store.users.add("alice"))
        names = add_users(store, in_use=alice.username, rounds=rounds)
    server = launch(home, Settings().engine.models_dir, **state)
    try:
        server.await_ready()
        assert server.post(alice.body(picture_url=REFUSED_URL)).json()["status_code"] == 13
        yield server, names
    finally:
        server.end()


@contextmanager
def sqlite(folder: Path) -> Iterator[tuple[None, dict[str, str]]]:
    """As redis_before_mariadb: what the service uses without settings."""
    yield None, {}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.names_by_time", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000, metavar="N", help="(2000)")
    rounds = parser.parse_args().rounds
    worst = 0.0
    print(f"Share told apart, of {rounds} pairs by one answer | by the mean of {REPEATED} answers")
    for title, stores in (("SQLite", sqlite), ("Redis and MariaDB", redis_before_mariadb)):
        with (
            tempfile.TemporaryDirectory() as folder,
            stores(Path(folder)) as (_, state),
            serving(Path(folder, "home"), state, rounds) as (server, names),
        ):
            taken = seconds_taken(server.bind, names, rounds)
        for kind in KNOWN:
            once, mean = (told_apart(*(means(taken[k], n) for k in ("unknown", kind))) for n in (1, REPEATED))
            worst = max(worst, once)
            print(f"{title:18} unknown or {kind:9} {once:.3f} | {mean:.3f}", flush=True)
    print(f"The bound is {BOUND} for one answer; chance alone stays below {by_chance(rounds):.3f}.")
    return int(worst > BOUND)


if __name__ == "__main__":
    sys.exit(main())
