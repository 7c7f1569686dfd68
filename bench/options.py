"""The command line of the benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from app.model.claim import Value
from bench.contenders import PEERS

PARTS = ("speed", "soak", "accuracy", "overhead")
AGAINST = ("speed", "overhead")
ROUNDS, ROUNDS_AGAINST = 2, 7

DESCRIPTION = """\
Our service beside its peers on one machine, in four parts:

  speed     every server reads the same pictures, alone, in alternating rounds
  soak      our service reads pictures of mixed sizes; its memory over them
  accuracy  our engine beside the paddleocr package on drawn pages, clean and degraded
  overhead  what our service costs a request beside its engine, embedded and with Redis

Or, with --against COMMIT, this checkout beside an earlier one: speed and overhead of both in
alternating rounds, about a minute each. It shows what a change costs.

Results go to bench/results/latest.json, .md and .svg; those of some parts alone (--only)
to files named after the parts, those of --against to against.json, .md and .svg.
"""


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_parts(parser)
    _add_speed(parser.add_argument_group("speed and soak"))
    _add_ours(parser.add_argument_group("our service"))
    chosen = parser.parse_args(words)
    if chosen.against is not None and not set(chosen.only or AGAINST) <= set(AGAINST):
        parser.error(f"--against measures {' and '.join(AGAINST)} alone")
    chosen.only = chosen.only or (PARTS if chosen.against is None else AGAINST)
    chosen.rounds = chosen.rounds or (ROUNDS if chosen.against is None else ROUNDS_AGAINST)
    return chosen


def _add_parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        metavar="PART",
        help="these parts alone (all four; with --against speed and overhead)",
    )
    parser.add_argument(
        "--check", action="store_true", help="exit with status 1 if a target that was measured is not met"
    )
    parser.add_argument(
        "--against", metavar="COMMIT",
        help="compare with this branch, tag or hash; uncommitted changes count as new. With --check, status "
        "1 if a measure is slower by more than the rounds' spread and 2 %%",
    )  # fmt: skip


def _add_speed(speed: argparse._ArgumentGroup) -> None:
    speed.add_argument("--images", type=Path, metavar="DIR", help="pictures with a labels.json (drawn pages)")
    speed.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    speed.add_argument(
        "--rounds", type=int, metavar="N", help="times each server is measured (2; with --against 7)"
    )
    speed.add_argument(
        "--clients",
        type=int,
        nargs="+",
        default=[1, 4],
        metavar="N",
        help="requests in flight (1 4)",
    )
    speed.add_argument(
        "--peers", nargs="*", choices=PEERS, default=PEERS, metavar="NAME",
        help=f"peers to compare with ({' '.join(PEERS)}); none if no name follows",
    )  # fmt: skip
    speed.add_argument(
        "--soak", type=int, default=500, metavar="N", help="pictures of the soak (500; 0: none)"
    )


def _add_ours(ours: argparse._ArgumentGroup) -> None:
    ours.add_argument("--charset", metavar="NAME", help="only these characters, as the request option")
    ours.add_argument(
        "--option", type=_option, action="append", default=[], metavar="NAME=VALUE",
        help="any other option of a request; may be repeated",
    )  # fmt: skip
    ours.add_argument("--precision", metavar="NAME", help="what the models compute in: f32, for instance")


def request_options(chosen: argparse.Namespace) -> dict[str, Value]:
    """The options of each request to our service."""
    charset = {"charset": chosen.charset} if chosen.charset else {}
    return dict(chosen.option) | charset


def _option(text: str) -> tuple[str, Value]:
    """Parse NAME=VALUE; digits become an integer, true and false a boolean."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    if value in ("true", "false"):
        return name, value == "true"
    return name, int(value) if value.isdigit() else value
