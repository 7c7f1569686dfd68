"""What this processor multiplies natively."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def extensions() -> frozenset[str]:
    """Its instruction set extensions, in the kernel's names; empty where it tells none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split()[2:])


def prefers_int8() -> bool:
    """Whether it has an instruction for 8-bit integers, and no matrix unit (AMX)."""
    return bool(extensions() & {"avx512_vnni", "avx_vnni"}) and "amx_bf16" not in extensions()
