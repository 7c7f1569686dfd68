"""Named sets of characters that recognition can be restricted to."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.model.reading import CharsetName
from app.ocr.model_folder import ModelError
from app.ocr.runtimes import Classes

Charset = CharsetName | Path

BLANK = 0  # the class of CTC, at which no character ends
ALWAYS = ("", " ")  # the blank, and the space that parts words and groups of digits

DIGITS = frozenset("0123456789.,:-+/%()")
# Usual in texts in Latin script, though not of it.
LATIN_SIGNS = frozenset("§©®°±²³·×÷«»–—‘’“”„†•…‰™←→−")
CJK_BLOCKS = (
    range(0x3000, 0x3040),  # symbols and punctuation
    range(0x3400, 0x4DC0),  # unified ideographs, extension A
    range(0x4E00, 0xA000),  # unified ideographs
    range(0xF900, 0xFB00),  # compatibility ideographs
    range(0xFF00, 0xFF61),  # full-width forms
    range(0x20000, 0x32000),  # unified ideographs, further extensions
)


def classes_of(charset: Charset, characters: tuple[str, ...]) -> Classes:
    """Which classes of a model make up the set; blank and space always do.

    characters: of all its classes. Raises ModelError for a file without any of them.
    """
    holds = _from_file(charset) if isinstance(charset, Path) else _NAMED[charset]
    found = [i for i, character in enumerate(characters) if character in ALWAYS or holds(character)]
    if len(found) <= len(ALWAYS):
        raise ModelError(f"{charset} has no character that the recognition model knows")
    return np.array(found, np.intp)


def _is_currency(character: str) -> bool:
    return unicodedata.category(character) == "Sc"


def _is_digits(character: str) -> bool:
    return character in DIGITS or _is_currency(character)


def _is_latin(character: str) -> bool:
    return (
        character.isascii()
        or character in LATIN_SIGNS
        or _is_currency(character)
        or unicodedata.name(character, "").startswith("LATIN ")
    )


def _is_chinese_or_latin(character: str) -> bool:
    return any(ord(character) in block for block in CJK_BLOCKS) or _is_latin(character)


def _from_file(path: Path) -> Callable[[str], bool]:
    try:
        return frozenset(path.read_text(encoding="utf-8-sig")).__contains__
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is no UTF-8 file of characters: {error}") from error


_NAMED: dict[CharsetName, Callable[[str], bool]] = {
    "full": lambda _: True,
    "latin": _is_latin,
    "digits": _is_digits,
    "chinese+latin": _is_chinese_or_latin,
}
