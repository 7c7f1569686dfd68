"""A mover in a process of its own, without the second that `flask` takes to begin."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.process import BaseProcess

COSTLY = ["__main__", "cryptography.fernet", "flask", "pydantic_settings", "redis", "sqlalchemy.orm"]


def start_mover(variables: Mapping[str, str]) -> BaseProcess:
    """As `flask usage flush --once` in that environment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(COSTLY)
    process = context.Process(target=_move_all, args=(dict(variables),))
    process.start()
    return process


def _move_all(variables: dict[str, str]) -> None:
    os.environ |= variables
    from app.wiring.services import SystemClock  # not before, since settings look at OCR_HOME
    from app.wiring.state import build_mover, build_state
    from config.settings import Settings

    settings = Settings()
    mover = build_mover(settings, build_state(settings, SystemClock(), failed=lambda: None))
    assert mover is not None
    mover.move_all()
