"""What may be printed: no control characters, no passwords and queries, whoever's text it is."""

from __future__ import annotations

import json
import logging
import time
import traceback
import unicodedata

import pytest

from app import create_app
from app.errors import PictureUrlNotAllowed
from app.fetch.url import UrlPolicy
from app.telemetry import escape
from app.telemetry.logs import JsonLines
from config.settings import Settings
from ocr_client import terminal

CONTROLS = {"Cc", "Zl", "Zp", "Cs"}
BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
ALL = [
    character
    for character in map(chr, range(0x110000))
    if unicodedata.category(character) in CONTROLS or unicodedata.bidirectional(character) in BIDIRECTIONAL
]


def json_line(text: str) -> str:
    record = logging.LogRecord("ocr", logging.INFO, "", 0, "event", None, None)
    record.fields = {"detail": text}
    return JsonLines().format(record)


def test_no_control_character_passes() -> None:
    text = "a" + "b".join(ALL)
    for shown in (escape.escaped(text), terminal.escaped(text).replace("\n", "").replace("\t", "")):
        assert not set(shown) & set(ALL)
    assert escape.escaped("\x1b\x9b\n\u202e\ud800") == r"\x1b\x9b\n\u202e\ud800"
    assert escape.escaped("a\tb\n", keep="\n") == "a\\tb\n"
    assert escape.escaped("收据 é ☃ 😀") == "收据 é ☃ 😀"
    assert escape._UNPRINTABLE == terminal.UNPRINTABLE  # the client is a package of its own


def test_a_log_line_means_what_was_logged() -> None:
    text = "a" + "b".join(ALL)
    line = json_line(text)
    assert not set(line) & set(ALL)
    assert json.loads(line)["detail"] == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("see https://user:SECRET@h/p?sign=SECRET#x now", "see https://...@h/p?... now"),
        ("netloc 'u:SECRET@h' contains", "netloc ...@h' contains"),
        ("url: /p?a='SECRET (Caused by X)", "url: /p?... (Caused by X)"),
        ("https://SECRET:@h/p", "https://...@h/p"),
        ("redis://:SE@CRET@h/0", "redis://...@h/0"),
        ("why? because", "why? because"),
        ("user 'ocr'@'localhost'", "user 'ocr'@'localhost'"),
    ],
)
def test_urls_lose_what_may_be_secret(text: str, safe: str) -> None:
    assert escape.without_secrets(text) == safe
    assert json.loads(json_line(text))["detail"] == safe


def test_hostile_text_is_cleaned_in_linear_time() -> None:
    started = time.process_time()
    for text in (":" * 100_000 + "@", "@" * 100_000, "?:@" * 30_000, "://" * 30_000 + "@"):
        escape.without_secrets(text)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("text", ["a?b ", "\x9b", "http://u:SECRET@", "https://h/?sign=SECRET ", "\n?"])
def test_a_long_text_is_logged_in_short_and_without_secrets(text: str) -> None:
    """A traceback may quote a whole request of 14 MB."""
    long = text * (14_000_000 // len(text))
    started = time.process_time()
    line = json_line(long)
    assert time.process_time() - started < 0.5
    assert len(line) < 100_000
    assert "SECRET" not in line


def test_a_long_text_keeps_its_ends() -> None:
    logged = json.loads(json_line(f"first words {'x' * 100_000} last words"))["detail"]
    assert logged.startswith("first words [")
    assert logged.endswith("characters] last words")


@pytest.mark.parametrize(
    "url",
    [
        *(f"https://user:SECRET{char}@example.com/" for char in "\u2100\u2048\uff03[]/?#\uff20"),
        "https://user:SECRET@example.com/",
        "https://SECRET@example.com/",
        "https://user:x@SECRET@[::1/",
        "https://example.com:SECRET/",
        "https://u:SECRET@xn--/",
        "https://u:SECRET@[1:2:3/",
    ],
)
def test_a_refused_url_is_not_quoted(url: str) -> None:
    with pytest.raises(PictureUrlNotAllowed) as caught:
        UrlPolicy(allow_ports={443}, allow_hosts=()).check(url)
    assert "SECRET" not in caught.value.detail


@pytest.mark.parametrize(
    ("name", "url"),
    [
        *(
            ("DATABASE", f"mysql+pymysql://ocr:{rest}")
            for rest in (
                *("a@SECRET@127.0.0.1:1/ocr", "SECRET@[::1/ocr", "x@h:SECRET/ocr", "SECRET@h:1x/ocr"),
                *("SECRET", "SECRET@h", "SECRET@h/", "SECRET\u2100@h"),
            )
        ),
        *(("DATABASE", url) for url in ("SECRET", "mysql://ocr:SECRET@h/ocr", "postgresql://SECRET@h/ocr")),
        *(
            ("REDIS", f"redis://{rest}")
            for rest in (
                *(
                    ":SECRET\u2100@h/0",
                    ":SECRET[@h/0",
                    "u:SECRET/x@h",
                    ":x@127.0.0.1:SECRET/0",
                    ":a#SECRET@h",
                ),
                *(
                    "127.0.0.1/SECRET",
                    "127.0.0.1/0?socket_timeout=SECRET",
                    "127.0.0.1:99999/0?password=SECRET",
                ),
            )
        ),
        *(("REDIS", url) for url in ("http://:SECRET@h", "SECRET", "unix://:SECRET\u2100@/run/redis")),
    ],
)
def test_the_url_of_a_store_is_not_quoted_at_the_start(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"OCR_STATE__{name}_URL", url)
    with pytest.raises(ValueError) as caught:
        create_app(Settings())
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_the_database_is_shown_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "mysql+pymysql://ocr:SECRET@h/ocr?ssl_key_password=SECRET"
    monkeypatch.setenv("OCR_STATE__DATABASE_URL", url)
    shown = create_app(Settings()).extensions["ocr"].store.shown
    assert shown == "mysql+pymysql://ocr:***@h/ocr"
