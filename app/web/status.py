"""GET /healthz and /readyz: for load balancers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flask import Blueprint, Response

from app.errors import DependencyUnavailable
from app.ports import Offload
from app.system.disk import Disks
from app.web.access import callers
from app.web.errors import json_answer


def blueprint(
    *, ping_store: Callable[[], None], offload: Offload, disks: Disks, store_folder: Path | None
) -> Blueprint:
    """store_folder: where the store keeps what each request writes, if that is on a disk of ours."""
    routes = Blueprint("status", __name__)

    @routes.get("/healthz")
    @callers("anyone")
    def healthz() -> Response:
        """The process is alive; touches nothing."""
        return json_answer({"status": "ok"})

    @routes.get("/readyz")
    @callers("operator")
    def readyz() -> Response:
        """The store is reachable and has room, and the engine has read its built-in picture.

        A full disk that requests do not need is named, but does not make the instance unready.
        """
        parts = {"store": _reachable(ping_store), "engine": offload.ready()}
        full = disks.full()
        ready = all(parts.values()) and store_folder not in full
        body: dict[str, object] = {"status": "ready" if ready else "not ready"}
        body |= {name: "ok" if good else "unavailable" for name, good in parts.items()}
        if full:
            body |= {"disk": "full", "free_bytes": {str(folder): free for folder, free in full.items()}}
        return json_answer(body, 200 if ready else 503)

    return routes


def _reachable(ping_store: Callable[[], None]) -> bool:
    try:
        ping_store()
    except DependencyUnavailable:
        return False
    return True
