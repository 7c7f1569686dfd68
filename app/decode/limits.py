"""Limits of decoding, shared by a worker and its decode host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits that are checked before decoding, from the file's header."""

    max_picture_bytes: int
    max_picture_pixels: int
    max_side_px: int
    max_jpeg_scans: int


@dataclass(frozen=True, slots=True)
class DecodeBudget:
    """Limits on the cost of decoding one picture.

    cpu_s: seconds of CPU. wall_s: seconds, without the wait for another large picture.
    memory_mb: megabytes of the worker and the decode host together, beyond their idle state.
    large_pixels: pictures with more pixels are large, and are decoded one at a time.
    """

    cpu_s: float
    wall_s: float
    memory_mb: int
    large_pixels: int
