"""Reading order: rows from left to right, columns of prose one after the other.

Positions are relative to the text's direction: the page may be skewed, on its side or upside down. Lines that
overlap in height form a row, so that an article and its price far to the right stay together. Columns need a
gutter between long lines on both sides; short lines (prices, values of a form) are read in rows. Text in
another direction than most of the page, such as a note along the margin, comes last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.ocr.crop import Corners, text_direction

SAME_ROW = 0.5  # minimum vertical overlap of lines in a row, as a part of the smaller line's height
PROSE = 8  # minimum ratio of width to height of a line of prose
COLUMN_LINES = 3  # minimum number of lines in a column
SIDE_BY_SIDE = 0.5  # minimum vertical overlap of two columns, as a part of the shorter column's height

Indices = NDArray[np.intp]


def reading_order(boxes: Sequence[Corners]) -> list[int]:
    """Indices of the boxes in reading order. boxes: each clockwise from where its text begins."""
    directions = np.array([text_direction(box) for box in boxes], int)
    lengths = np.bincount(directions, [np.linalg.norm(box[1] - box[0]) for box in boxes], minlength=4)
    ordered: list[int] = []
    for direction in np.argsort(-lengths, kind="stable"):
        alike = np.flatnonzero(directions == direction)
        if len(alike):
            spans = _Spans(np.stack([boxes[i] for i in alike]).astype(np.float64))
            ordered += alike[spans.in_order(np.arange(len(alike)))].tolist()
    return ordered


class _Spans:
    """The extent of each line along the direction of the text (left, right) and across it (top, bottom)."""

    def __init__(self, boxes: NDArray[np.float64]) -> None:
        along = (boxes[:, 1] - boxes[:, 0]).sum(axis=0)
        x, y = along / max(np.linalg.norm(along), 1e-6)
        turned = boxes @ np.array([[x, -y], [y, x]])
        self.left, self.right = turned[:, :, 0].min(axis=1), turned[:, :, 0].max(axis=1)
        height = np.maximum(np.linalg.norm(boxes[:, 3] - boxes[:, 0], axis=1), 1)
        # The height of a skewed line is its own height, not that of its bounding box.
        self.top = turned[:, :, 1].mean(axis=1) - height / 2
        self.bottom = self.top + height
        self.height = height

    def in_order(self, lines: Indices) -> list[np.intp]:
        gutter = self._gutter(lines)
        if gutter is None:
            return self._in_rows(lines)
        ordered: list[np.intp] = []
        beside = (self.right[lines] <= gutter) | (self.left[lines] >= gutter)
        across, rest = lines[~beside], lines[beside]
        # A heading across both columns separates the lines above it from those below.
        for line in across[np.argsort(self.top[across])]:
            above = self.top[rest] < self.top[line]
            ordered += [*self._in_columns(rest[above], gutter), line]
            rest = rest[~above]
        return ordered + self._in_columns(rest, gutter)

    def _in_columns(self, lines: Indices, gutter: float) -> list[np.intp]:
        left = self.right[lines] <= gutter
        return self.in_order(lines[left]) + self.in_order(lines[~left]) if len(lines) else []

    def _in_rows(self, lines: Indices) -> list[np.intp]:
        """Each line joins the row whose last line is beside it, so that rows may follow curved paper."""
        rows: list[list[np.intp]] = []
        last = np.empty(0, np.intp)
        for line in lines[np.argsort(self.left[lines], kind="stable")]:
            overlap = np.minimum(self.bottom[last], self.bottom[line]) - np.maximum(
                self.top[last], self.top[line]
            )
            shared = overlap / np.minimum(self.height[last], self.height[line])
            best = int(shared.argmax()) if len(last) else -1
            if best >= 0 and shared[best] >= SAME_ROW:
                rows[best].append(line)
                last[best] = line
            else:
                rows.append([line])
                last = np.append(last, line)
        rows.sort(key=lambda row: float(np.mean(self.top[row] + self.bottom[row])))
        return [line for row in rows for line in row]

    def _gutter(self, lines: Indices) -> float | None:
        """Position between two columns of prose, crossed by the fewest lines; None without columns."""
        best, fewest = None, len(lines) // COLUMN_LINES
        for gutter in np.unique(self.right[lines]):
            left, right = lines[self.right[lines] <= gutter], lines[self.left[lines] >= gutter]
            crossing = len(lines) - len(left) - len(right)
            if (
                crossing < fewest
                and self._is_column(left)
                and self._is_column(right)
                and self._side_by_side(left, right)
            ):
                best, fewest = float(gutter), crossing
        return best

    def _is_column(self, lines: Indices) -> bool:
        if len(lines) < COLUMN_LINES:
            return False
        return bool(np.median((self.right[lines] - self.left[lines]) / self.height[lines]) >= PROSE)

    def _side_by_side(self, one: Indices, other: Indices) -> bool:
        top, bottom = (
            max(self.top[one].min(), self.top[other].min()),
            min(self.bottom[one].max(), self.bottom[other].max()),
        )
        shorter = min(np.ptp(self.top[one]), np.ptp(self.top[other]))
        return bool(bottom - top >= SIDE_BY_SIDE * shorter)
