"""Records that the database refused: the mover put them aside with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.state.redis_front.admission import RedisState
from app.state.redis_front.client import RedisLink
from app.state.redis_front.pending import DEAD, Held

LISTED = 1000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    letter_id: str
    text: str
    why: str


def listed(link: RedisLink) -> list[DeadLetter]:
    """The oldest thousand. Raises DependencyUnavailable."""
    found = []
    for letter_id, fields in link.ask("XRANGE", DEAD, "-", "+", "COUNT", LISTED):
        named = dict(zip(fields[::2], fields[1::2], strict=True))
        found.append(DeadLetter(letter_id, named["entry"], named["error"]))
    return found


def retry(link: RedisLink, state: RedisState, letters: Iterable[DeadLetter]) -> int:
    """Back onto the stream, those that are records at all; how many. Twice does no harm."""
    put_back = 0
    for letter in letters:
        try:
            held = Held.from_json(letter.text)
        except (ValueError, KeyError, TypeError):
            continue
        state.close(replace(held, only_if_open=False))  # it was closed before it was refused
        link.ask("XDEL", DEAD, letter.letter_id)
        put_back += 1
    return put_back
