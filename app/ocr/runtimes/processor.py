"""Instruction set extensions of this processor."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def extensions() -> frozenset[str]:
    """The extensions in the kernel's names; empty if /proc/cpuinfo does not list them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split()[2:])


def prefers_int8() -> bool:
    """Whether the processor has 8-bit integer instructions (VNNI) and no matrix unit (AMX)."""
    return bool(extensions() & {"avx512_vnni", "avx_vnni"}) and "amx_bf16" not in extensions()
