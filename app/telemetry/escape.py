"""Make untrusted text safe to print. Standard library only, because gunicorn's master uses it.

Control characters move a terminal's cursor, change its title or forge a log line; U+009B starts a control
sequence like ESC [. Bidirectional controls change the displayed order of a text.
"""

from __future__ import annotations

import re

_UNPRINTABLE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff"
_ANY = re.compile(f"[{_UNPRINTABLE}]")
_WORD = re.compile(r"\S+")


def escaped(text: str, *, keep: str = "") -> str:
    r"""Replace control characters by Python escapes: `\n`, `\x9b`, `\u202e`. keep: exceptions."""
    return _ANY.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


def escaped_json(document: str) -> str:
    """Replace control characters in a one-line JSON document by JSON escapes; its value is unchanged."""
    return _ANY.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def shortened(text: str, length: int) -> str:
    """Shorten to about `length` characters: both ends, in whole words, so that URLs stay recognisable."""
    if len(text) <= length:
        return text
    head = text[: length // 2].rpartition(" ")[0]
    tail = text[-(length // 2) :].partition(" ")[2]
    return f"{head} [{len(text) - len(head) - len(tail)} characters] {tail}"


def without_secrets(text: str) -> str:
    """Replace user-info and query by three dots in every URL of a text, and in words that look like a URL."""
    return _WORD.sub(lambda word: _without_secrets(word[0]), text) if "@" in text or "?" in text else text


def _without_secrets(word: str) -> str:
    place, at, rest = word.rpartition("@")
    if at and ":" in place:
        scheme, slashes, _ = place.rpartition("://")
        word = f"{scheme}{slashes}...@{rest}"
    path, mark, query = word.partition("?")
    return f"{path}?..." if mark and query else word
