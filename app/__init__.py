"""An OCR service: a signed request in, the text of its picture out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The Flask application; nothing is connected or loaded before `app.extensions["ocr"].start()`."""
    from dataclasses import replace
    from functools import partial

    from flask import Flask

    from app import cli, web
    from app.wiring.routes import add_routes
    from app.wiring.services import build_services
    from config.settings import Settings

    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    services = build_services(settings or Settings())
    add_routes(app, services)
    cli.init_app(app)
    app.extensions["ocr"] = replace(services, build_pages=partial(web.build_pages, app))
    return app
