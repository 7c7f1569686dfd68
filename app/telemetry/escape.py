"""Text that strangers have a part in, made safe to print. Standard library alone: gunicorn's master runs it.

Control characters move a terminal's cursor, change its title or forge a second log line; U+009B begins a
control sequence as ESC [ does. Bidirectional controls show a text in another order than it has.
"""

from __future__ import annotations

import re

_UNPRINTABLE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff"
_ANY = re.compile(f"[{_UNPRINTABLE}]")
_WORD = re.compile(r"\S+")


def escaped(text: str, *, keep: str = "") -> str:
    r"""Control characters as Python writes them: `\n`, `\x9b`, `\u202e`. keep: those left as they are."""
    return _ANY.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


def escaped_json(document: str) -> str:
    """A JSON document without line breaks between its values, still the same document."""
    return _ANY.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def shortened(text: str, length: int) -> str:
    """Both ends of a longer text, of whole words: part of a URL would hide that it holds a secret."""
    if len(text) <= length:
        return text
    head = text[: length // 2].rpartition(" ")[0]
    tail = text[-(length // 2) :].partition(" ")[2]
    return f"{head} [{len(text) - len(head) - len(tail)} characters] {tail}"


def without_secrets(text: str) -> str:
    """Three dots for user-info and query of each URL in a text, and of each word that looks like one."""
    return _WORD.sub(lambda word: _without_secrets(word[0]), text) if "@" in text or "?" in text else text


def _without_secrets(word: str) -> str:
    place, at, rest = word.rpartition("@")
    if at and ":" in place:
        scheme, slashes, _ = place.rpartition("://")
        word = f"{scheme}{slashes}...@{rest}"
    path, mark, query = word.partition("?")
    return f"{path}?..." if mark and query else word
