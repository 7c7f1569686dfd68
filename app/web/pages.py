"""Pages for people, in the reader's language; browsers run our own scripts and styles only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from flask import Response, render_template

from app.web.assets import Assets
from app.web.errors import Tips, preferred

Words = Mapping[str, Mapping[str, str]]

WORDS = Path(__file__).parent / "words.yaml"
LANGUAGES = {"en": "en", "zh": "zh-CN"}
"""The languages of words.yaml, and their names in HTML."""

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
    """The pages' sentences by key and language."""
    words: Words = yaml.safe_load(WORDS.read_text("utf-8"))
    return words


class Pages:
    """Renders templates. limits: settings that the scripts need, such as max_picture_bytes."""

    def __init__(self, assets: Assets, *, words: Words, tips: Tips, limits: Mapping[str, int]) -> None:
        self.words, self.tips = words, tips
        self._assets = assets
        self._known = {"words": words, "tips": tips, "limits": limits}
        self._built: dict[tuple[str, str], str] = {}

    def render(self, template: str, **values: Any) -> Response:
        """The page of a template in the reader's language.

        The page is built once for each language, so its values must be the same at every call.
        """
        page = template, preferred(LANGUAGES)
        if page not in self._built:
            self._built[page] = self._html(*page, **values)
        return Response(self._built[page], headers=HEADERS, content_type="text/html; charset=utf-8")

    def _html(self, template: str, language: str, **values: Any) -> str:
        return render_template(
            template,
            asset=self._assets.url,
            language=language,
            html_language=LANGUAGES[language],
            said=in_language(self.words, language),
            known=self._known,
            **values,
        )


def in_language(sentences: Words, language: str) -> dict[str, str]:
    return {key: versions[language] for key, versions in sentences.items()}
