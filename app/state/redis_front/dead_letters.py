"""Records that the database refused: the mover keeps them, each with the reason, for the operator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.state.redis_front.admission import RedisState
from app.state.redis_front.client import RedisLink
from app.state.redis_front.keys import DEAD
from app.state.redis_front.pending import PendingUsage

LISTED = 1000
"""Dead letters listed at a time."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """text: the entry of the stream. why: the reason of the refusal."""

    letter_id: str
    text: str
    why: str


def listed(link: RedisLink) -> list[DeadLetter]:
    """The oldest ones, at most LISTED. Raises DependencyUnavailable."""
    found = []
    for letter_id, fields in link.ask("XRANGE", DEAD, "-", "+", "COUNT", LISTED):
        named = dict(zip(fields[::2], fields[1::2], strict=True))
        found.append(DeadLetter(letter_id, named["entry"], named["error"]))
    return found


def retry(link: RedisLink, state: RedisState, letters: Iterable[DeadLetter]) -> int:
    """Put the letters that contain records back onto the stream. Returns their number.

    May be repeated: the database stores each record once. Raises DependencyUnavailable.
    """
    put_back = 0
    for letter in letters:
        try:
            ended = PendingUsage.from_json(letter.text)
        except (ValueError, KeyError, TypeError):
            continue
        state.close(replace(ended, only_if_open=False))  # a refused record is one of a closed request
        link.ask("XDEL", DEAD, letter.letter_id)
        put_back += 1
    return put_back
