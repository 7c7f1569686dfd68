"""A mover in a process of its own, without the second that `flask` takes to begin."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

COSTLY = ["__main__", "app.wiring.services", "pymysql", "sqlalchemy.dialects.mysql.pymysql"]
"""Imported once, in the server that forks the movers."""


def start_mover(home: Path, variables: Mapping[str, str]) -> BaseProcess:
    """As `flask usage flush --once` in that environment, on the machine that has this OCR_HOME."""
    var = home / "var"
    here = {"OCR_STATE__SPOOL_DIR": str(var / "spool"), "OCR_STATE__KEY_FILE": str(var / "secret.key")}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(COSTLY)
    process = context.Process(target=_move_all, args=(dict(variables) | here,))
    process.start()
    return process


def _move_all(variables: dict[str, str]) -> None:
    from app.system.clock import SystemClock
    from app.wiring.state import build_mover, build_state
    from config.settings import Settings  # its defaults are under the OCR_HOME of the first import

    os.environ |= variables
    settings = Settings()
    mover = build_mover(settings, build_state(settings, SystemClock(), failed=lambda store: None))
    assert mover is not None
    mover.move_all()
