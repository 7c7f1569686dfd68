"""HTTP: what all routes have in common, such as the request id in every answer and log line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network

from flask import Flask, Response, g, request

from app.telemetry.metrics import Metrics
from app.web import errors
from app.web.observer import Observer
from app.web.pages import LANGUAGES
from app.web.proxy import TrustedProxies

_REQUEST_ID = re.compile(r"[0-9a-f]{32}")  # as Nginx's $request_id and our own are written


def init_app(
    app: Flask,
    *,
    new_request_id: Callable[[], str],
    tips: errors.Tips,
    proxies: Iterable[IPv4Network | IPv6Network],
    metrics: Metrics,
) -> None:
    def identify() -> None:
        """Keep the proxy's id: Nginx sends the same one again when it retries at another instance."""
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else new_request_id()

    def name_request(answer: Response) -> Response:
        answer.headers["X-Request-ID"] = g.request_id
        return answer

    app.before_request(identify)
    app.after_request(name_request)
    Observer(metrics).init_app(app)
    errors.init_app(app, tips)
    app.wsgi_app = TrustedProxies(app.wsgi_app, proxies)  # type: ignore[method-assign]


def build_pages(app: Flask) -> None:
    """Request every public page once, so that no visitor blocks the loop while a page is built."""
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        page = "GET" in (rule.methods or ()) and not rule.arguments
        if page and getattr(app.view_functions[rule.endpoint], "callers", None) == "anyone":
            for language in LANGUAGES:
                client.get(rule.rule, headers={"Accept-Language": language})
