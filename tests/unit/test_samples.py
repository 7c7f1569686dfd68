"""The committed sample pictures are what samples/draw.py draws, and their labels say what is on them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from samples import draw

# Another FreeType or libjpeg may shade edges a little differently; a moved line changes thousands of pixels.
LOUD, MOST_LOUD_PIXELS = 96, 50


def loud_pixels(one: Image.Image, other: Image.Image) -> int:
    difference = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).convert("L")
    return sum(difference.histogram()[LOUD:])


def committed_labels() -> dict[str, list[str]]:
    labels: dict[str, list[str]] = json.loads((draw.HERE / "labels.json").read_text(encoding="utf-8"))
    return labels


@pytest.fixture(scope="module")
def drawn_again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("samples")
    subprocess.run([sys.executable, draw.__file__, directory], check=True)
    return directory


def test_labels_are_the_committed_ones(drawn_again: Path) -> None:
    assert json.loads((drawn_again / "labels.json").read_text(encoding="utf-8")) == committed_labels()


def test_every_picture_has_a_label() -> None:
    pictures = {path.name for path in draw.HERE.iterdir() if path.suffix in {".png", ".jpg"}}
    assert pictures == set(committed_labels())


@pytest.mark.parametrize("name", committed_labels())
def test_pictures_are_the_committed_ones(drawn_again: Path, name: str) -> None:
    with Image.open(draw.HERE / name) as committed, Image.open(drawn_again / name) as again:
        assert again.size == committed.size
        assert loud_pixels(again, committed) <= MOST_LOUD_PIXELS


def test_a_changed_line_would_be_noticed() -> None:
    assert loud_pixels(draw.numbered(17).image, draw.numbered(26).image) > MOST_LOUD_PIXELS


def test_font_has_every_character_on_the_pictures() -> None:
    font = draw.font(32)
    missing = bytes(font.getmask("\uffff"))
    characters = set("".join("".join(lines) for lines in committed_labels().values())) - {" "}
    assert [character for character in sorted(characters) if bytes(font.getmask(character)) == missing] == []


def test_no_two_numbered_pictures_say_the_same() -> None:
    assert len({draw.numbered(n).lines for n in range(1000)}) == 1000
