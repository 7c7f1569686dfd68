"""`make bench`, or `make bench ARGS="--help"`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from app.model.claim import Value
from bench import accuracy, against, charts, limit, overhead, pictures, report, speed
from bench.contenders import install
from bench.options import AGAINST, PARTS, arguments, request_options
from bench.pictures import Labels, Pages
from bench.progress import say
from bench.servers import BenchError
from bench.soak import soak
from bench.targets import Target, compare_targets
from config.settings import ROOT

RESULTS = ROOT / "bench" / "results"


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure the chosen parts one after the other."""
    results: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"`make bench ARGS={shlex.quote(shlex.join(sys.argv[1:]))}`",
        "machine": limit.machine(),
    }
    pages, labels = pictures.from_folder(chosen.images) if chosen.images else pictures.drawn()
    pages = dict(islice(pages.items(), chosen.limit))
    options = request_options(chosen)
    if chosen.against is not None:
        results["against"] = against.compare(
            chosen.against,
            pages,
            parts=chosen.only,
            clients=chosen.clients,
            rounds=chosen.rounds,
            options=options,
        )
        return results
    results |= _parts(chosen, pages, labels, options)
    return results


def _parts(
    chosen: argparse.Namespace, pages: Pages, labels: Labels, options: dict[str, Value]
) -> dict[str, Any]:
    results: dict[str, Any] = {}
    if "speed" in chosen.only:
        for peer in chosen.peers:
            install(peer, say)
        results |= speed.compare(
            pages, labels, peers=chosen.peers, clients=chosen.clients, rounds=chosen.rounds, options=options
        )
    if "soak" in chosen.only and chosen.soak:
        results["soak"] = soak(pictures.drawn()[0] | pages, count=chosen.soak, options=options)
    if "accuracy" in chosen.only:
        say("Accuracy on drawn pages:")
        results["accuracy"] = accuracy.measure(options)
    if "overhead" in chosen.only:
        say("The service's own cost, without an engine:")
        results["overhead"] = overhead.measure()
    return results


def write(results: dict[str, Any], targets: Sequence[Target], name: str) -> None:
    text = report.markdown(results, targets)
    RESULTS.mkdir(exist_ok=True)
    with_targets = results | {"targets": [target.as_dict() for target in targets]}
    (RESULTS / f"{name}.json").write_text(json.dumps(with_targets, indent=2, ensure_ascii=False) + "\n")
    (RESULTS / f"{name}.md").write_text(text)
    (RESULTS / f"{name}.svg").write_text(charts.chart(results))
    print(text)
    say(f"Written: {RESULTS.relative_to(ROOT)}/{name}.json, .md, .svg")


def main() -> None:
    chosen = arguments()
    os.environ |= {"FLASK_SKIP_DOTENV": "1", "FLASK_APP": "run_ocr_flask"}  # .env may name stores in use
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended"))  # so that the servers stop, too
    if chosen.precision:
        os.environ["OCR_ENGINE__PRECISION"] = chosen.precision  # for the server and for the engine alone
    try:
        results = run(chosen)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: ended")
    targets = compare_targets(results)
    write(results, targets, _name(chosen))
    slower = any(one["slower"] for one in results.get("against", {}).get("measures", ()))
    if chosen.check and (slower or not all(target.met for target in targets)):
        sys.exit(1)


def _name(chosen: argparse.Namespace) -> str:
    """Name of the result files: a run of some parts does not overwrite a run of all."""
    parts = [part for part in PARTS if part in chosen.only]
    if chosen.against is not None:
        return "-".join(["against", *(parts if parts != list(AGAINST) else ())])
    return "latest" if parts == list(PARTS) else "-".join(parts)


if __name__ == "__main__":
    main()
