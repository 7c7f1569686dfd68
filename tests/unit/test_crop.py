"""Corners of lines and the pictures cut out by them."""

from __future__ import annotations

import numpy as np
import pytest

from app.ocr.crop import (
    MARGIN,
    MAX_WIDTH,
    Corners,
    crop,
    elongation,
    rotate_180,
    rotate_to,
    text_direction,
    text_first,
    width_at,
    with_margin,
)

WIDE = np.array([(10, 10), (110, 10), (110, 30), (10, 30)], np.float32)
TALL = np.array([(10, 10), (30, 10), (30, 110), (10, 110)], np.float32)


def rotated(corners: Corners, degrees: float) -> Corners:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray(corners @ np.array([[c, s], [-s, c]]), np.float32)


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("degrees", [0, 5, -5, 40, -40])
def test_a_box_begins_where_its_text_does_whatever_corner_it_was_given_from(
    degrees: float, first: int
) -> None:
    corners = rotated(WIDE, degrees)
    assert np.array_equal(text_first(np.roll(corners, first, axis=0)), corners)


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, -45])
def test_a_margin_is_as_wide_on_all_sides_whichever_way_the_line_runs(degrees: float) -> None:
    wide = 20 * MARGIN
    grown = WIDE + np.array([(-wide, -wide), (wide, -wide), (wide, wide), (-wide, wide)], np.float32)
    assert with_margin(rotated(WIDE, degrees)) == pytest.approx(rotated(grown, degrees), abs=1e-3)


def test_tall_text_runs_down_from_the_top_right() -> None:
    assert text_first(TALL).tolist() == [[30, 10], [30, 110], [10, 110], [10, 10]]


def test_turned_upside_down_twice_is_as_before() -> None:
    assert rotate_180(WIDE)[0].tolist() == [110, 30]
    assert np.array_equal(rotate_180(rotate_180(WIDE)), WIDE)


@pytest.mark.parametrize("degrees", [0, 40, -40])
@pytest.mark.parametrize("direction", range(4))
def test_the_direction_of_a_line(direction: int, degrees: float) -> None:
    corners = rotated(WIDE, degrees)
    assert text_direction(corners) == 0
    assert text_direction(rotate_to(corners, direction)) == direction
    assert np.array_equal(rotate_to(rotate_to(corners, direction), 0), corners)


def test_how_long_a_line_is() -> None:
    assert elongation(WIDE) == 5
    assert elongation(text_first(TALL)) == 5
    assert elongation(TALL) == pytest.approx(0.2)


def test_a_crop_is_upright_and_of_the_size_asked_for() -> None:
    """A picture whose left half is dark, seen through boxes that lie in each of the four directions."""
    image = np.full((200, 200, 3), 255, np.uint8)
    image[:, :60] = 0
    for turns in range(4):
        turned_image = np.ascontiguousarray(np.rot90(image, -turns))
        corners = WIDE
        for _ in range(turns):
            corners = np.stack([200 - corners[:, 1], corners[:, 0]], axis=1).astype(np.float32)
        line = crop(turned_image, corners, width=200, height=48)
        assert line.shape == (48, 200, 3)
        assert line[:, :80].max() < 20
        assert line[:, -80:].min() > 235


def test_widths_are_bounded() -> None:
    assert width_at(WIDE, 48) == 240
    assert width_at(WIDE * np.array([1000, 0.01], np.float32), 48) == MAX_WIDTH
    assert width_at(np.zeros((4, 2), np.float32), 48) == 48
