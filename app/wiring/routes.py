"""Every route of the service, joined to what answers it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from app import web
from app.system.loop import time_limit
from app.system.request_id import new_request_id
from app.web import assets, console, docs, multipart, ocr, sign_in, status, usage
from app.web.body import BodyReader
from app.web.budget import BodyBudget
from app.web.dialects import RequestLimits
from app.web.errors import Tips
from app.web.pages import Pages, load_words
from app.wiring.services import Services
from config.settings import LimitSettings, Settings, load_tips

if TYPE_CHECKING:
    from flask import Flask

FORM_PARTS = 32
"""Parts of a multipart form, at most."""


def add_routes(app: Flask, services: Services) -> None:
    settings, tips = services.settings, load_tips()
    app.config |= _werkzeug_limits(settings.limits)
    app.request_class = multipart.OcrHttpRequest
    web.init_app(
        app,
        new_request_id=new_request_id,
        tips=tips,
        proxies=settings.auth.proxies,
        metrics=services.metrics,
    )
    limits = _request_limits(settings)
    _add_api(app, services, tips, limits)
    _add_pages(app, settings, tips, limits)


def _add_api(app: Flask, services: Services, tips: Tips, limits: RequestLimits) -> None:
    settings, reader = services.settings, _body_reader(services.settings.limits)
    app.register_blueprint(
        ocr.blueprint(
            ocr.Recogniser(
                services.ocr,
                clock=services.clock,
                limits=limits,
                reader=reader,
                budget=_body_budget(settings.limits),
                tips=tips,
            )
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


def _add_pages(app: Flask, settings: Settings, tips: Tips, limits: RequestLimits) -> None:
    files = assets.Assets.load()
    pages = Pages(files, words=load_words(), tips=tips, limits=_page_limits(settings))
    app.register_blueprint(assets.blueprint(files))
    app.register_blueprint(console.blueprint(pages))
    app.register_blueprint(docs.blueprint(pages, limits))


def _werkzeug_limits(limits: LimitSettings) -> dict[str, object]:
    return {
        # One more than the limit: Werkzeug silently cuts a chunked body off at its maximum.
        "MAX_CONTENT_LENGTH": limits.max_body_bytes + 1,
        "MAX_FORM_MEMORY_SIZE": limits.max_body_bytes,
        "MAX_FORM_PARTS": FORM_PARTS,
    }


def _body_reader(limits: LimitSettings) -> BodyReader:
    return BodyReader(
        max_body_bytes=limits.max_body_bytes,
        time_limit=partial(time_limit, seconds=limits.body_timeout_s),
    )


def _body_budget(limits: LimitSettings) -> BodyBudget:
    return BodyBudget(
        max_bytes=limits.unproven_bytes,
        max_bytes_per_address=limits.unproven_bytes_per_address,
    )


def _request_limits(settings: Settings) -> RequestLimits:
    return RequestLimits(
        max_body_bytes=settings.limits.max_body_bytes,
        timeout_ms=settings.limits.timeout_ms,
        min_timeout_ms=settings.limits.min_timeout_ms,
        max_timeout_ms=settings.limits.max_timeout_ms,
        max_side_limit=settings.engine.max_side_limit,
    )


def _page_limits(settings: Settings) -> dict[str, int]:
    """What the console shows and its scripts check, by the names that they use."""
    limits = settings.limits
    return {
        "max_picture_bytes": limits.max_picture_bytes,
        "max_picture_pixels": limits.max_picture_pixels,
        "max_side_px": limits.max_side_px,
        "timeout_ms": limits.timeout_ms,
        "min_timeout_ms": limits.min_timeout_ms,
        "max_timeout_ms": limits.max_timeout_ms,
        "max_side_limit": settings.engine.max_side_limit,
    }
