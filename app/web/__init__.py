"""HTTP: every route, and the request id that all answers and log lines carry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network

from flask import Flask, Response, g, request

from app.web import errors
from app.web.pages import LANGUAGES
from app.web.proxy import TrustedProxies

_REQUEST_ID = re.compile(r"[0-9a-f]{32}")  # as Nginx's $request_id and our own are written


def init_app(
    app: Flask,
    *,
    new_request_id: Callable[[], str],
    tips: errors.Tips,
    proxies: Iterable[IPv4Network | IPv6Network],
) -> None:
    def identify() -> None:
        """By the proxy's id where there is one: Nginx sends it again when it tries a second instance."""
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else new_request_id()

    def name_request(answer: Response) -> Response:
        answer.headers["X-Request-ID"] = g.request_id
        return answer

    app.before_request(identify)
    app.after_request(name_request)
    errors.init_app(app, tips)
    app.wsgi_app = TrustedProxies(app.wsgi_app, proxies)  # type: ignore[method-assign]


def build_pages(app: Flask) -> None:
    """Ask for everything that anyone may get, so that no visitor stops the loop while a page is built."""
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        page = "GET" in (rule.methods or ()) and not rule.arguments
        if page and getattr(app.view_functions[rule.endpoint], "callers", None) == "anyone":
            for language in LANGUAGES:
                client.get(rule.rule, headers={"Accept-Language": language})
