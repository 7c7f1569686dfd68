"""HTTP: every route, and the request id that all answers and log lines carry."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, g

from app.web import errors


def init_app(app: Flask, *, new_request_id: Callable[[], str], tips: errors.Tips) -> None:
    def identify() -> None:
        g.request_id = new_request_id()

    def name_request(answer: Response) -> Response:
        answer.headers["X-Request-ID"] = g.request_id
        return answer

    app.before_request(identify)
    app.after_request(name_request)
    errors.init_app(app, tips)
