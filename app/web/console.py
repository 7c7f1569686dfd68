"""The pages for people: plain HTML, scripts and styles of our own alone, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import yaml
from flask import Blueprint, Response, render_template

from app.model import CharsetName
from app.web.access import callers
from app.web.assets import Assets
from app.web.errors import Tips, preferred

Words = Mapping[str, Mapping[str, str]]

WORDS = Path(__file__).parent / "words.yaml"
LANGUAGES = {"en": "en", "zh": "zh-CN"}
"""Of words.yaml, and as HTML names them."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob: http: https:",  # a picture given by its URL is shown from there
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Language",
    "X-Content-Type-Options": "nosniff",
}


def load_words() -> Words:
    """What the pages say, by key and language."""
    words: Words = yaml.safe_load(WORDS.read_text("utf-8"))
    return words


def blueprint(assets: Assets, *, tips: Tips, limits: Mapping[str, int]) -> Blueprint:
    """limits: what the scripts must know of the settings, such as max_picture_bytes."""
    routes = Blueprint("console", __name__, template_folder="templates")
    words = load_words()
    known = {"words": words, "tips": tips, "limits": limits}

    def page(template: str) -> Response:
        language = preferred(LANGUAGES)
        said = {key: sentences[language] for key, sentences in words.items()}
        html = render_template(
            template,
            asset=assets.url,
            language=language,
            html_language=LANGUAGES[language],
            said=said,
            known=known,
            charsets=get_args(CharsetName),
        )
        return Response(html, headers=HEADERS, content_type="text/html; charset=utf-8")

    @routes.get("/")
    @callers("anyone")
    def console() -> Response:
        return page("console.html")

    return routes
