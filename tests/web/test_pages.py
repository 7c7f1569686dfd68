"""The pages for people, as bytes: their words, their files, and the headers that keep them to ours alone."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.web import assets, docs, openapi, pages
from app.web.assets import FOLDER, Assets
from app.web.pages import WORDS, load_words
from config.settings import ROOT
from tests.web.conftest import Service

PAGES = ["/", "/usage.html", "/docs"]


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def html(service: Service, page: str, language: str = "en") -> str:
    return service.app.test_client().get(page, headers={"Accept-Language": language}).get_data(as_text=True)


def test_every_word_is_there_in_both_languages() -> None:
    for key, sentences in load_words().items():
        assert sentences.keys() == {"en", "zh"}, key
        assert all(sentences.values()), key
        holes = [set(re.findall(r"\{(\w+)\}", sentence)) for sentence in sentences.values()]
        assert holes[0] == holes[1], key


def test_every_word_is_used_and_every_used_word_is_there() -> None:
    sources = [*FOLDER.glob("*.js"), *(FOLDER.parent / "templates").glob("*"), *FOLDER.parent.rglob("*.py")]
    texts = "".join(path.read_text() for path in sources)
    families = set(re.findall(r"\bword\(`(\w+_)\$", texts)) | set(re.findall(r'[(\[]"(\w+_)" ~', texts))
    asked = set(re.findall(r'\bword\("(\w+)"', texts)) | set(re.findall(r'\bt\("(\w+)"\)', texts))
    asked |= set(re.findall(r'data-word="(\w+)"', texts))
    asked |= set(re.findall(r'attribute\("[\w-]+", "(\w+)"\)', texts))
    words = load_words().keys()
    assert asked <= words
    for key in words:
        assert key in asked or f'"{key}"' in texts or any(key.startswith(family) for family in families), key


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("accepted", "language"), [("zh-TW,en;q=0.5", "zh-CN"), ("fr", "en"), ("", "en")])
def test_a_page_comes_in_the_readers_language(
    service: Service, page: str, accepted: str, language: str
) -> None:
    assert f'<html lang="{language}"' in html(service, page, accepted)


@pytest.mark.parametrize("path", [*PAGES, "/openapi.json"])
def test_what_anybody_may_ask_for_is_built_once(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def built_again(*_: object, **__: object) -> None:
        raise AssertionError(path)

    before = [html(service, path, language) for language in ("en", "zh")]
    for module, name in ((pages, "render_template"), (openapi, "document"), (docs, "request_schema")):
        monkeypatch.setattr(module, name, built_again)
    assert [html(service, path, language) for language in ("en", "zh")] == before
    assert (before[0] != before[1]) == (path in PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_made_of_our_own_files_alone(service: Service, page: str) -> None:
    """Nothing inline that the policy would refuse, nothing from elsewhere, and every file is there."""
    client = service.app.test_client()
    answer = client.get(page)
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == (
        "'none'",
        "'self'",
        "'self'",
    )
    for tag, attributes in Tags(answer.get_data(as_text=True)).found:
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag
        assert tag != "style"
        for name in ("src", "href"):
            link = attributes.get(name)
            if link and tag != "a":
                assert link.startswith("/static/")
                assert client.get(link.partition("#")[0]).status_code == 200
        if tag == "script":
            assert "src" in attributes or attributes["type"] == "application/json"


def test_files_are_kept_for_ever_under_their_digest_and_never_under_another(service: Service) -> None:
    client = service.app.test_client()
    url = Assets.load().url("console.js")
    kept = client.get(url)
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert kept.headers["Content-Type"] == "text/javascript; charset=utf-8"
    older = client.get("/static/0123456789abcdef/console.js")
    assert (older.status_code, older.headers["Cache-Control"]) == (200, "no-store")
    assert older.data == kept.data
    assert client.get("/static/0123456789abcdef/nothing.js").status_code == 404
    assert client.get(f"{url}/../../console.py").status_code == 404


def test_the_digest_changes_with_any_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = Assets.load()
    folder = Path(shutil.copytree(FOLDER, tmp_path / "static"))
    monkeypatch.setattr(assets, "FOLDER", folder)
    assert Assets.load().digest == before.digest
    (folder / "logo.svg").write_text("<svg/>")
    assert Assets.load().digest != before.digest
    with pytest.raises(LookupError):
        before.url("nothing.js")


def test_no_page_asks_anything_of_another_host() -> None:
    for path in [WORDS, *FOLDER.glob("*"), *(FOLDER.parent / "templates").glob("*")]:
        hosts = set(re.findall(r"https?://([\w-]+(?:\.[\w-]+)*)", path.read_text()))
        assert hosts <= {"example.com", "127.0.0.1", "localhost", "www.w3.org"}, path


def test_scripts_and_styles_are_small_enough_to_read() -> None:
    for path in FOLDER.glob("*"):
        assert len(path.read_text().splitlines()) <= 250, path
    assert sum(len(content) for content in Assets.load().files.values()) < 200_000
    assert (ROOT / "samples" / "receipt.png").read_bytes() == Assets.load().files["sample.png"]
