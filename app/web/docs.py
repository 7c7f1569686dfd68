"""GET /docs and /openapi.json: the contract, for people and for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from flask import Blueprint, Response, current_app

from app.authenticate import as_signed, sign, string_to_sign
from app.model.claim import Value
from app.web import openapi
from app.web.access import callers
from app.web.answers import json_answer
from app.web.dialects import RequestLimits, own
from app.web.operation import Operation, documented
from app.web.pages import Pages, in_language
from app.web.schemas import request_schema

SECRET = "an-example-secret-that-opens-nothing"  # noqa: S105
FIELDS: dict[str, Value] = {
    "username": "demo",
    "timestamp": 1795203755,
    "nonce": "Bbp-Io52REKkU6hr",
    "picture_url": "https://example.com/a receipt.jpg?size=large&page=1",
    "orient": True,
}


@dataclass(frozen=True, slots=True)
class Example:
    """An example of the signing rule: the input, and the output that it must give."""

    secret: str
    fields: str
    string_to_sign: str
    sign: str


def example() -> Example:
    signed = {name: as_signed(value) for name, value in FIELDS.items()}
    fields = json.dumps(FIELDS, indent=2)
    return Example(SECRET, fields, string_to_sign(signed), sign(SECRET, signed))


def blueprint(pages: Pages, limits: RequestLimits) -> Blueprint:
    routes = Blueprint("docs", __name__, template_folder="templates")
    text = openapi.Text(in_language(pages.words, "en"), in_language(pages.tips, "en"))

    # Built at the first request, when all routes are registered, and only once, since anyone may request it.

    @cache
    def built_document() -> bytes:
        return json_answer(openapi.document(current_app, limits=limits, text=text)).get_data()

    @cache
    def shown() -> dict[str, Any]:
        return {
            "example": example(),
            "fields": request_schema(own.RequestBody, limits, text.words)["properties"],
            "errors": openapi.service_errors(),
            "routes": openapi.routes(current_app),
            "tips": pages.tips,
        }

    @routes.get("/openapi.json")
    @callers("anyone")
    @documented(Operation({200: ("api_good", dict[str, Any])}))
    def document() -> Response:
        return Response(built_document(), content_type="application/json; charset=utf-8")

    @routes.get("/docs")
    @callers("anyone")
    def docs() -> Response:
        return pages.render("docs.html", **shown())

    return routes
