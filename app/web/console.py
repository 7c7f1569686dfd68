"""GET /: the console, where people read pictures."""

from __future__ import annotations

from typing import get_args

from flask import Blueprint, Response

from app.model import CharsetName
from app.web.access import callers
from app.web.pages import Pages


def blueprint(pages: Pages) -> Blueprint:
    routes = Blueprint("console", __name__, template_folder="templates")

    @routes.get("/")
    @callers("anyone")
    def console() -> Response:
        return pages.render("console.html", charsets=get_args(CharsetName))

    return routes
