"""A small disk of its own that a test can fill."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

BLOCK = bytes(4096)


@dataclass(frozen=True)
class SmallDisk:
    folder: Path

    def fill(self) -> None:
        """To the last byte."""
        with pytest.raises(OSError) as refused, (self.folder / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(BLOCK)
        assert refused.value.errno == errno.ENOSPC

    def empty(self) -> None:
        (self.folder / "filler").unlink()


@contextmanager
def small_disk(folder: Path, size: str = "16m") -> Iterator[SmallDisk]:
    """Mounted on the folder. Where this user may not mount anything the test is skipped; in CI it fails."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "ocr-test", str(folder)],
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode:
        refused = f"a disk to fill needs the right to mount: {done.stderr.strip()}"
        pytest.fail(refused) if os.environ.get("CI") else pytest.skip(refused)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
