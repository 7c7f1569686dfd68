"""Named character sets that restrict recognition."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.model.reading import CharsetName
from app.ocr.model_folder import ModelError
from app.ocr.runtimes import Classes

Charset = CharsetName | Path

BLANK = 0  # the class of CTC's blank
ALWAYS = ("", " ")  # the blank, and the space that separates words and groups of digits

DIGITS = frozenset("0123456789.,:-+/%()")
# Common in texts in Latin script, but not Latin letters.
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
    """Indices of the model's classes whose characters belong to the set; blank and space are always included.

    characters: the character of each class. Raises ModelError if the model knows no character of the set.
    """
    holds = _from_file(charset) if isinstance(charset, Path) else _NAMED[charset]
    found = [i for i, character in enumerate(characters) if character in ALWAYS or holds(character)]
    if len(found) <= len(ALWAYS):
        raise ModelError(f"the recognition model knows no character of {charset}")
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
        raise ModelError(f"{path} is not a UTF-8 text file: {error}") from error


_NAMED: dict[CharsetName, Callable[[str], bool]] = {
    "full": lambda _: True,
    "latin": _is_latin,
    "digits": _is_digits,
    "chinese+latin": _is_chinese_or_latin,
}
