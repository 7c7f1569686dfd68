"""How much memory this process holds, and how the C library gives it back."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MAPPED_FROM_BYTES = 4 * 1024 * 1024

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MEGABYTE = 1_000_000


def resident_mb() -> float:
    """Megabytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return pages * _PAGE_BYTES / _MEGABYTE


def give_back_free_pages() -> None:
    """Give the pages in which nothing lies back to the system: by itself glibc only does so at a heap's end.

    Other C libraries have no such call.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def map_large_blocks() -> None:
    """Give each large block pages of its own, which go back to the system when it is freed.

    By itself glibc puts blocks of up to 32 MB into its heap once it has seen one freed, and pictures of mixed
    sizes leave gaps there that nothing else fits into. Other C libraries have no such setting.
    """
    _set_malloc(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)


def keep_small_blocks(up_to_bytes: int) -> None:
    """Map larger blocks than that alone, and keep twice as many free bytes at the end of the heap.

    For a process that decodes one picture after the other. glibc gives all but 128 KB of the heap's end back
    once its other threshold is set: each strip of a picture then costs new pages, half of all the time.
    """
    _set_malloc(_M_MMAP_THRESHOLD, up_to_bytes)
    _set_malloc(_M_TRIM_THRESHOLD, 2 * up_to_bytes)


def _set_malloc(parameter: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(parameter, value)
