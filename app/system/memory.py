"""Resident memory of this process, and how glibc returns memory to the system."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MAPPED_FROM_BYTES = 4 * 1024 * 1024

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MEGABYTE = 1_000_000


def resident_mb() -> float:
    """Resident memory of this process, in megabytes."""
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return pages * _PAGE_BYTES / _MEGABYTE


def give_back_free_pages() -> None:
    """Return free pages to the system; by default glibc returns only those at the end of its heap.

    Does nothing with other C libraries.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def map_large_blocks() -> None:
    """Allocate each large block in pages of its own, which return to the system when the block is freed.

    By default glibc allocates blocks of up to 32 MB in its heap after the first one was freed, and pictures
    of mixed sizes fragment the heap. Does nothing with other C libraries.
    """
    _set_malloc(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)


def keep_small_blocks(up_to_bytes: int) -> None:
    """Keep blocks up to this size in the heap, and twice as many free bytes at its end.

    For a process that decodes one picture after another. Without the second setting, glibc returns all but
    128 KB of the heap's end: each strip of a picture then needs new pages, which takes half of the time.
    """
    _set_malloc(_M_MMAP_THRESHOLD, up_to_bytes)
    _set_malloc(_M_TRIM_THRESHOLD, 2 * up_to_bytes)


def _set_malloc(parameter: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(parameter, value)
