"""The real application, with the real engine and a SQLite file of its own, through Flask's test client."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from app.wiring.services import Services
from config.settings import Settings
from tests.signing import Caller

_numbers = itertools.count()


@dataclass(frozen=True)
class Service:
    app: Flask

    @property
    def services(self) -> Services:
        built: Services = self.app.extensions["ocr"]
        return built

    def caller(self, **options: Any) -> Caller:
        """A new user of the service."""
        name = f"user-{next(_numbers)}"
        return Caller(name, self.services.store.users.add(name, **options))

    def post(self, body: dict[str, Any], **options: Any) -> TestResponse:
        return self.app.test_client().post("/ocr", json=body, **options)


@pytest.fixture(scope="session")
def make_service(
    models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Service]]:
    """Build the application with some settings changed: make_service(auth={"rate_burst": 1})."""
    made: list[Service] = []

    def make(**changes: Any) -> Service:
        folder = tmp_path_factory.mktemp("service")
        changes.setdefault("state", {})
        changes["state"] |= {"database_url": f"sqlite:///{folder}/ocr.sqlite", "key_file": folder / "key"}
        changes["auth"] = {"failures_file": folder / "failures"} | changes.get("auth", {})
        changes["engine"] = {"warm_up": False} | changes.get("engine", {})
        changes.setdefault("log", {"file": str(folder / "ocr.log")})
        service = Service(create_app(Settings(**changes)))
        service.services.store.create()
        made.append(service)
        return service

    yield make
    for service in made:
        service.services.store.close()


@pytest.fixture(scope="session")
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()
