from __future__ import annotations

from pathlib import Path

import pytest

from app.ocr import models
from config.settings import Settings


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of the real models, pulled once if `make setup` has not done so."""
    folder = Settings().engine.models_dir
    if len(models.installed(folder)) < len(models.SOURCES):
        models.pull(folder, print)
    return folder
