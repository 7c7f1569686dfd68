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
    from app.system.loop import time_limit
    from app.web import assets, console, docs, multipart, ocr, sign_in, status, usage
    from app.web.body import BodyReader
    from app.web.budget import BodyBudget
    from app.web.dialects.own import RequestLimits
    from app.web.pages import Pages, load_words
    from app.wiring.services import build_services, new_request_id
    from config.settings import Settings, load_tips

    settings = settings or Settings()
    services = build_services(settings)
    tips = load_tips()
    limits = RequestLimits(
        settings.limits.max_body_bytes,
        settings.limits.timeout_ms,
        settings.limits.min_timeout_ms,
        settings.limits.max_timeout_ms,
        settings.engine.max_side_limit,
    )

    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # One more than the limit: Werkzeug cuts a chunked body off at its maximum without a word.
    app.config["MAX_CONTENT_LENGTH"] = settings.limits.max_body_bytes + 1
    app.config["MAX_FORM_MEMORY_SIZE"] = settings.limits.max_body_bytes
    app.config["MAX_FORM_PARTS"] = 32
    app.request_class = multipart.OcrHttpRequest
    web.init_app(app, new_request_id=new_request_id, tips=tips, proxies=settings.auth.proxies)
    reader = BodyReader(
        settings.limits.max_body_bytes, partial(time_limit, seconds=settings.limits.body_timeout_s)
    )
    budget = BodyBudget(
        max_bytes=settings.limits.unproven_bytes,
        max_bytes_per_address=settings.limits.unproven_bytes_per_address,
    )
    app.register_blueprint(
        ocr.blueprint(
            services.ocr,
            clock=services.clock,
            limits=limits,
            reader=reader,
            budget=budget,
            metrics=services.metrics,
            tips=tips,
        )
    )
    app.register_blueprint(
        usage.blueprint(services.usage, clock=services.clock, max_days=settings.usage.max_report_days)
    )
    short = replace(reader, max_body_bytes=sign_in.MAX_BODY_BYTES)
    app.register_blueprint(sign_in.blueprint(services.sign_in, reader=short))
    app.register_blueprint(
        status.blueprint(
            ping_store=services.state.ping,
            offload=services.offload,
            disks=services.disks,
            store_folder=settings.state.database_folder if services.state.redis is None else None,
        )
    )
    files = assets.Assets.load()
    app.register_blueprint(assets.blueprint(files))
    known = settings.limits.model_dump() | {"max_side_limit": settings.engine.max_side_limit}
    pages = Pages(files, words=load_words(), tips=tips, limits=known)
    app.register_blueprint(console.blueprint(pages))
    app.register_blueprint(docs.blueprint(pages, limits))
    cli.init_app(app)
    app.extensions["ocr"] = replace(services, build_pages=partial(web.build_pages, app))
    return app
