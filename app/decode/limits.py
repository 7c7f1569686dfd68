"""A decoded picture, and what decoding may cost: what a worker and its decode host share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What the header of a picture may say."""

    max_picture_bytes: int
    max_picture_pixels: int
    max_side_px: int
    max_jpeg_scans: int


@dataclass(frozen=True, slots=True)
class DecodeBudget:
    """What decoding one picture may cost, whatever its header says.

    cpu_s: seconds of CPU. wall_s: seconds, without the wait for another large picture.
    memory_mb: megabytes that the worker and the decode host may take together beyond their idle state.
    large_pixels: of two larger pictures, the second waits until the first is decoded.
    """

    cpu_s: float
    wall_s: float
    memory_mb: int
    large_pixels: int
