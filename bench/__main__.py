"""Our service beside its peers on one machine: `make bench`, or `make bench ARGS="--help"`."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from bench import pictures, report, score
from bench.servers import NAMES, PEERS, TITLES, BenchError, Picture, Server, make, running
from config.settings import ROOT

RESULTS = ROOT / "bench" / "results"
WARM_UP = 3
LIMIT_NOTE = (
    "It is the arithmetic of the models at the shapes used, over the time taken at the most clients, over "
    "the rate of a float32 matrix product; above 1 where the processor multiplies bfloat16 natively (AMX)."
)


@dataclass
class Tally:
    """What was measured of one server in all rounds. Keys are numbers of clients."""

    waits_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    walls_s: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    stages_ms: dict[int, list[dict[str, int]]] = field(default_factory=lambda: defaultdict(list))
    read: dict[str, list[str]] = field(default_factory=dict)
    flop: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0
    starts_s: list[float] = field(default_factory=list)

    def rate(self, clients: int) -> float:
        return len(self.waits_s[clients]) / self.walls_s[clients]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(server: Server, pages: Sequence[Picture], clients: Iterable[int], tally: Tally) -> None:
    """One round of one server: start, warm up, the same pictures at each number of clients, stop."""
    say(f"  {server.name}: starting ...")
    with running(server) as watch:
        for page in pages[:WARM_UP]:
            server.read(page)
        for count in clients:
            _send(server, pages, count, tally)
    tally.starts_s.append(watch.start_s)
    tally.peak_mb = max(tally.peak_mb, watch.peak_mb)


def _send(server: Server, pages: Sequence[Picture], clients: int, tally: Tally) -> None:
    def timed(page: Picture) -> tuple[float, Any]:
        begun = time.perf_counter()
        answer = server.read(page)
        return time.perf_counter() - begun, answer

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(timed, pages))
    took = time.perf_counter() - begun
    tally.walls_s[clients] += took
    for page, (wait, answer) in zip(pages, answers, strict=True):
        tally.waits_s[clients].append(wait)
        tally.read[page.name] = server.lines(answer)
        if server.name == "ours":
            tally.flop[page.name] = score.flop(answer)
            tally.stages_ms[clients].append(answer["elapsed_ms"])
    say(f"  {server.name}, {clients} client(s): {len(pages)} pictures in {took:.1f} s")


def summary(tally: Tally, labels: pictures.Labels) -> dict[str, Any]:
    def for_each(figure: Any) -> dict[str, float]:
        return {str(count): round(figure(count), 3) for count in tally.walls_s}

    told = {
        "pictures_per_s": for_each(tally.rate),
        "p50_ms": for_each(lambda count: 1000 * score.percentile(tally.waits_s[count], 0.50)),
        "p95_ms": for_each(lambda count: 1000 * score.percentile(tally.waits_s[count], 0.95)),
        "word_f1": round(score.word_f1(tally.read, labels), 4),
        "peak_mb": round(tally.peak_mb),
        "start_s": round(score.percentile(tally.starts_s, 0.5), 2),
    }
    if tally.stages_ms:
        told["mean_elapsed_ms"] = {
            str(count): {name: round(sum(one[name] for one in all_) / len(all_)) for name in all_[0]}
            for count, all_ in tally.stages_ms.items()
        }
    return told


def install(peer: str) -> None:
    """The peer's packages, in a virtual environment of its own: two of them want different OpenCVs."""
    folder = PEERS / peer
    requirements = ROOT / "bench" / f"requirements-{peer}.txt"
    done = folder / ".installed"
    if done.exists() and done.read_text() == requirements.read_text():
        return
    say(f"Installing {TITLES[peer]} into {folder.relative_to(ROOT)} (a minute or two) ...")
    pip = [str(folder / "bin" / "pip"), "install", "--disable-pip-version-check", "-r", str(requirements)]
    for command in ([sys.executable, "-m", "venv", str(folder)], pip):
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise BenchError(f"{peer} could not be installed:\n{ran.stderr[-3000:]}")
    done.write_text(requirements.read_text())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="pictures with a labels.json (default: drawn pages)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    parser.add_argument(
        "--rounds", type=int, default=2, help="how often each server is measured (%(default)s)"
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4], help="how many ask at once (1 4)")
    parser.add_argument(
        "--peers", nargs="*", choices=NAMES[1:], default=NAMES[1:], help="whom to compare with (all)"
    )
    return parser.parse_args()


def run(options: argparse.Namespace) -> dict[str, Any]:
    for peer in options.peers:
        install(peer)
    all_pages, labels = pictures.from_folder(options.images) if options.images else pictures.drawn()
    chosen = dict(islice(all_pages.items(), options.limit))
    machine, names = score.machine(), ["ours", *options.peers]
    sgemm = score.sgemm_flop_a_second()
    tallies = {name: Tally() for name in names}
    with pictures.hosted(chosen) as port:
        pages = [
            Picture(name, data, f"http://127.0.0.1:{port}/{position}")
            for position, (name, data) in enumerate(chosen.items())
        ]
        for number in range(options.rounds):
            say(f"Round {number + 1} of {options.rounds}:")
            # There and back, so that a machine that warms up or is disturbed favours nobody.
            for name in names if number % 2 == 0 else reversed(names):
                with tempfile.TemporaryDirectory() as home:
                    measure(make(name, Path(home), port), pages, options.clients, tallies[name])
    ours, most = tallies["ours"], max(options.clients)
    flop_a_second = ours.rate(most) * sum(ours.flop.values()) / len(ours.flop)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine,
        "images": len(pages),
        "rounds": options.rounds,
        "clients": [str(count) for count in options.clients],
        "sgemm_gflop_per_s": round(sgemm / 1e9, 1),
        "gflop_per_picture": round(sum(ours.flop.values()) / len(ours.flop) / 1e9, 1),
        "limit_share": round(flop_a_second / sgemm, 3),
        "limit_note": LIMIT_NOTE,
    } | {name: summary(tally, labels) for name, tally in tallies.items()}


def main() -> None:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended"))  # so that its servers end with it
    try:
        results = run(options)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(results, indent=2) + "\n")
    (RESULTS / "latest.md").write_text(report.markdown(results))
    (RESULTS / "latest.svg").write_text(report.chart(results))
    print(report.markdown(results))
    say(f"Written: {RESULTS.relative_to(ROOT)}/latest.json, latest.md, latest.svg")


if __name__ == "__main__":
    main()
