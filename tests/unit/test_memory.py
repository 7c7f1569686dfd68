"""Memory that is freed goes back to the system. In a process of its own: the C library's settings stay."""

from __future__ import annotations

import os
import subprocess
import sys

from app.memory import resident_mb
from config.settings import ROOT

# Blocks of 8 MB, every second of which is freed. They follow one of 24 MB, after which glibc would put them
# into its heap.
GAPS = """
from app.memory import map_large_blocks, resident_mb
{set_up}
bytearray(24_000_000)
blocks = [bytearray(8_000_000) for _ in range(20)]
full = resident_mb()
del blocks[::2]
print(full - resident_mb())
"""

# Blocks of 100 kB in the heap, of which every tenth stays.
SMALL_GAPS = """
from app.memory import give_back_free_pages, resident_mb
blocks = [bytearray(100_000) for _ in range(1000)]
full = resident_mb()
blocks = blocks[::10]
{set_up}
print(full - resident_mb())
"""


def given_back_mb(set_up: str, gaps: str = GAPS) -> float:
    code = gaps.format(set_up=set_up)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    return float(done.stdout)


def test_large_blocks_go_back_although_others_stay() -> None:
    assert given_back_mb("map_large_blocks()") > 75


def test_without_it_they_would_not() -> None:
    """If this fails, the C library does it by itself, and app.memory has one task less."""
    assert given_back_mb("") < 20


def test_free_pages_between_small_blocks_go_back() -> None:
    assert given_back_mb("give_back_free_pages()", SMALL_GAPS) > 75
    assert given_back_mb("", SMALL_GAPS) < 20


def test_resident_size_is_what_the_kernel_says() -> None:
    with open("/proc/self/status") as status:
        [kilobytes] = [int(line.split()[1]) for line in status if line.startswith("VmRSS")]
    assert os.sysconf("SC_PAGE_SIZE") / 1e6 < resident_mb()
    assert abs(resident_mb() - kilobytes * 1024 / 1e6) < 5
