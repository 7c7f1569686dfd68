"""GET /healthz and /readyz: for load balancers."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response

from app.errors import DependencyUnavailable
from app.ports import Offload
from app.web.access import callers
from app.web.errors import json_answer


def blueprint(*, ping_store: Callable[[], None], offload: Offload) -> Blueprint:
    routes = Blueprint("status", __name__)

    @routes.get("/healthz")
    @callers("anyone")
    def healthz() -> Response:
        """The process is alive; touches nothing."""
        return json_answer({"status": "ok"})

    @routes.get("/readyz")
    @callers("operator")
    def readyz() -> Response:
        """The store is reachable and the engine has read its built-in picture."""
        parts = {"store": _reachable(ping_store), "engine": offload.ready()}
        ready = all(parts.values())
        body = {"status": "ready" if ready else "not ready"} | {
            name: "ok" if good else "unavailable" for name, good in parts.items()
        }
        return json_answer(body, 200 if ready else 503)

    return routes


def _reachable(ping_store: Callable[[], None]) -> bool:
    try:
        ping_store()
    except DependencyUnavailable:
        return False
    return True
