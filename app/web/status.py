"""GET /healthz and /readyz: whether the process lives and whether it can work; for load balancers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NotRequired

from flask import Blueprint, Response
from typing_extensions import TypedDict

from app.errors import DependencyUnavailable
from app.ports import Offload
from app.system.disk import Disks
from app.web.access import callers
from app.web.answers import json_answer
from app.web.operation import Operation, documented

Part = Literal["ok", "unavailable"]


class Health(TypedDict):
    status: Literal["ok"]


class Readiness(TypedDict):
    """disk, free_bytes by folder: only where a disk is full."""

    status: Literal["ready", "not ready"]
    store: Part
    engine: Part
    disk: NotRequired[Literal["full"]]
    free_bytes: NotRequired[dict[str, int]]


def blueprint(
    *, ping_store: Callable[[], None], offload: Offload, disks: Disks, store_folder: Path | None
) -> Blueprint:
    """store_folder: where the store keeps what each request writes, if that is on a disk of ours."""
    routes = Blueprint("status", __name__)

    @routes.get("/healthz")
    @callers("anyone")
    @documented(Operation({200: ("api_good", Health)}))
    def healthz() -> Response:
        """The process is alive; touches nothing."""
        return json_answer(Health(status="ok"))

    @routes.get("/readyz")
    @callers("operator")
    @documented(Operation({200: ("api_good", Readiness), 503: ("api_not_ready", Readiness)}))
    def readyz() -> Response:
        """The store is reachable and has room, and the engine has read its built-in picture.

        A full disk that requests do not need is named, but does not make the instance unready.
        """
        store, engine, full = _reachable(ping_store), offload.ready(), disks.full()
        ready = store and engine and store_folder not in full
        body = Readiness(
            status="ready" if ready else "not ready",
            store="ok" if store else "unavailable",
            engine="ok" if engine else "unavailable",
        )
        if full:
            body["disk"] = "full"
            body["free_bytes"] = {str(folder): free for folder, free in full.items()}
        return json_answer(body, 200 if ready else 503)

    return routes


def _reachable(ping_store: Callable[[], None]) -> bool:
    try:
        ping_store()
    except DependencyUnavailable:
        return False
    return True
