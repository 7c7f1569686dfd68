"""The pages that accuracy is measured on, what is done to them, and the pictures of the soak."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from bench.conditions import TURNED, UPRIGHT, turned
from bench.mixture import SIZES, mixed_sizes
from bench.pages import KINDS, page
from config.settings import LimitSettings
from samples import draw

if TYPE_CHECKING:
    from app.ports import Image


def test_pages_are_the_same_each_time_and_say_different_things() -> None:
    for kind in KINDS:
        again = page(kind, 0)
        assert again.lines == page(kind, 0).lines
        assert np.array_equal(again.image, page(kind, 0).image)
        assert len({page(kind, number).lines for number in range(20)}) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_text_stays_on_the_paper_and_in_the_font(kind: str) -> None:
    missing = bytes(draw.font(32).getmask("\uffff"))
    for number in range(10):
        drawn = page(kind, number)
        edge = drawn.image[:, -10:]
        assert (edge == edge[0, 0]).all()
        for character in set("".join(drawn.lines)) - {" "}:
            assert bytes(draw.font(32).getmask(character)) != missing


@pytest.mark.parametrize("name", [*UPRIGHT, *TURNED])
def test_a_condition_changes_a_page_in_the_same_way_each_time(name: str) -> None:
    degrade: Callable[[Image], Image] = (UPRIGHT | TURNED)[name]
    image = page("mixed", 0).image
    before = image.copy()
    once = degrade(image)
    assert np.array_equal(image, before)
    assert np.array_equal(once, degrade(image))
    assert once.dtype == np.uint8
    assert once.flags.c_contiguous
    assert np.array_equal(once, image) == (name == "clean")


def test_a_skewed_page_keeps_all_its_ink() -> None:
    image = page("English", 0).image

    def ink(picture: Image) -> int:
        gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.int64)
        return int((gray[0, 0] - gray).sum())

    for degrees in (3, 6, 10):
        assert ink(UPRIGHT[f"skew {degrees}°"](image)) == pytest.approx(ink(image), rel=0.02)


def test_four_quarters_are_a_whole_turn() -> None:
    image = page("digits", 0).image
    assert np.array_equal(turned(1)(turned(3)(image)), image)
    assert not np.array_equal(turned(1)(turned(1)(image)), image)


def test_the_pictures_of_the_soak_are_accepted_and_the_same_each_time() -> None:
    out = io.BytesIO()
    draw.receipt().image.save(out, "JPEG")
    pages, limits = {"receipt": out.getvalue()}, LimitSettings()
    pictures = mixed_sizes(pages, 24)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in mixed_sizes(pages, 12).items()}
    assert digests.items() <= {(name, hashlib.sha256(data).hexdigest()) for name, data in pictures.items()}
    assert len(set(pictures.values())) == 24
    sizes = []
    for name, data in pictures.items():
        with Pillow.open(io.BytesIO(data)) as picture:
            sizes.append(picture.width * picture.height)
            assert picture.format == name.partition(".")[2].upper()
        assert len(data) <= limits.max_picture_bytes
        assert sizes[-1] <= limits.max_picture_pixels
    assert max(sizes) > 10 * min(sizes)


def test_the_largest_pictures_are_as_large_as_the_service_accepts() -> None:
    assert SIZES[-1][2] * 1e6 <= LimitSettings().max_picture_pixels
    assert sum(share for share, *_ in SIZES) == pytest.approx(1)
