"""GET / and /usage.html: the pages on which people read pictures and see their usage."""

from __future__ import annotations

from typing import get_args

from flask import Blueprint, Response

from app.model.reading import CharsetName
from app.web.access import callers
from app.web.pages import Pages


def blueprint(pages: Pages) -> Blueprint:
    routes = Blueprint("console", __name__, template_folder="templates")

    @routes.get("/")
    @callers("anyone")
    def console() -> Response:
        return pages.render("console.html", charsets=get_args(CharsetName))

    @routes.get("/usage.html")
    @callers("anyone")
    def usage() -> Response:
        """The page itself requests the figures from GET /usage, signed in the browser."""
        return pages.render("usage.html")

    return routes
