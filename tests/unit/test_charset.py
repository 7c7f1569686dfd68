"""Which characters the named sets hold."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from app.model.reading import CharsetName
from app.ocr.charset import Charset, classes_of
from app.ocr.model_folder import ModelError
from config.settings import EngineSettings

CHARACTERS = ("", *"7.aZ~éß€¥“·一㐂，（２Ａかㄱ가Ωж∑☃\u3000", " ")


def held(charset: Charset) -> str:
    classes = classes_of(charset, CHARACTERS)
    assert classes[0] == 0  # the blank stays the first class
    assert CHARACTERS[classes[-1]] == " "
    return "".join(CHARACTERS[i] for i in classes).rstrip()


@pytest.mark.parametrize(
    ("name", "characters"),
    [
        ("full", "7.aZ~éß€¥“·一㐂，（２Ａかㄱ가Ωж∑☃"),
        ("digits", "7.€¥"),
        ("latin", "7.aZ~éß€¥“·"),
        ("chinese+latin", "7.aZ~éß€¥“·一㐂，（２Ａ"),
    ],
)
def test_the_named_sets(name: CharsetName, characters: str) -> None:
    assert held(name) == characters


def test_a_file_holds_its_characters_whatever_parts_them(tmp_path: Path) -> None:
    (tmp_path / "plates").write_text("Z7\nж\r\n\tZ", encoding="utf-8-sig")
    assert held(tmp_path / "plates") == "7Zж"


@pytest.mark.parametrize("content", [b"", b" \n", "ᚠᚢ".encode(), b"\xff"], ids=repr)
def test_a_file_without_a_character_of_the_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "runes").write_bytes(content)
    with pytest.raises(ModelError, match="runes"):
        classes_of(tmp_path / "runes", CHARACTERS)


def test_settings_and_requests_know_the_same_names() -> None:
    for name in get_args(CharsetName):
        assert EngineSettings(charset=name).charset == name
