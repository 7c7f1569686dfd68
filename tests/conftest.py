from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.ocr import models
from config.settings import Settings
from tests.servers import MySqlServer, RedisServer

# No server of a test and no command reads the .env of a checkout that serves: its stores are no playground.
os.environ |= {"FLASK_SKIP_DOTENV": "1", "FLASK_APP": "run_ocr_flask"}


SLOW_FIRST = ["process", "gateway", "clients", "browser", "web", "contract", "hostile", "unit"]
"""No worker of pytest-xdist is left alone with a long file at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: SLOW_FIRST.index(item.path.parent.name))
    for item in items:
        if "models_dir" in getattr(item, "fixturenames", ()):
            item.add_marker("models")


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of the real models, pulled once if `make setup` has not done so."""
    folder = Settings().engine.models_dir
    if len(models.installed(folder)) < len(models.SOURCES):
        models.pull(folder, print)
    return folder


@pytest.fixture(scope="session")
def mysql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySqlServer]:
    """One for all tests; whoever uses it empties its tables first."""
    server = MySqlServer(tmp_path_factory.mktemp("mysql"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for all tests; whoever uses it empties it first."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
