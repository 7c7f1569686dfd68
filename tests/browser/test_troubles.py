"""What goes wrong, told in the reader's language."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import requests
from playwright.sync_api import Route, expect

from app.web.pages import load_words
from config.settings import ROOT, load_tips
from tests.browser.conftest import INSECURE_HOST, Reader
from tests.picture_host import PictureHost, http, silence
from tests.process.conftest import Server
from tests.signing import Caller

Readers = Callable[..., Reader]

LINES = json.loads((ROOT / "samples" / "labels.json").read_text())["receipt.png"]
LETTER = (ROOT / "samples" / "letter.jpg").read_bytes()
TIPS = load_tips()
WORDS = load_words()


@pytest.mark.parametrize(("locale", "language"), [("en-GB", "en"), ("zh-CN", "zh")])
def test_a_wrong_secret(reader: Readers, alice: Caller, locale: str, language: str) -> None:
    somebody = reader(locale=locale)
    page = somebody.open(replace(alice, secret="wrong"))
    somebody.upload()
    expect(page.get_by_role("alert").locator("p").first).to_have_text(TIPS["sign_wrong"][language])
    expect(page.locator("#problem-detail")).to_contain_text("sign_wrong")
    expect(page.locator("#again")).to_be_hidden()
    page.locator("#language").click()
    other = {"en": "zh", "zh": "en"}[language]
    expect(page.locator("#problem-words")).to_have_text(TIPS["sign_wrong"][other])


def test_a_quota_that_is_used_up(reader: Readers, server: Server) -> None:
    somebody = reader()
    page = somebody.open(server.caller("poor", quota_limit=1))
    somebody.upload()
    assert somebody.text()
    expect(page.locator("#figures")).to_contain_text("0of 1")
    somebody.upload()
    expect(page.locator("#problem-words")).to_have_text(TIPS["quota_exhausted"]["en"])
    expect(page.locator("#result")).to_be_hidden()


@contextmanager
def crowd(server: Server, caller: Caller) -> Iterator[None]:
    """Keep the only engine thread and its queue full."""
    enough = threading.Event()

    def keep_asking() -> None:
        with requests.Session() as session:
            while not enough.is_set():
                server.post(caller.body(picture=LETTER, side_limit=2560), session)

    crowd = [threading.Thread(target=keep_asking) for _ in range(4)]
    for one in crowd:
        one.start()
    try:
        yield
    finally:
        enough.set()
        for one in crowd:
            one.join()


def test_a_busy_service_says_when_to_come_again(reader: Readers, server: Server, alice: Caller) -> None:
    somebody = reader()
    page = somebody.open(alice)
    problem = page.locator("#problem:not([hidden]) #problem-words")
    with crowd(server, server.caller("crowd")):
        for _ in range(10):  # the engine may just have become free
            somebody.upload()
            expect(page.locator("#problem, #result").locator("visible=true").first).to_be_visible()
            if problem.count():
                break
        expect(problem).to_have_text(TIPS["busy"]["en"])
        expect(page.locator("#again")).to_be_disabled()
        expect(page.locator("#again")).to_contain_text("Try again in")
        page.context.set_offline(True)
        somebody.upload()
        expect(page.locator("#problem-words")).to_have_text(WORDS["not_reached"]["en"])
        expect(page.locator("#again")).to_be_enabled()
        page.context.set_offline(False)
    somebody.errors[:] = [error for error in somebody.errors if "ERR_INTERNET_DISCONNECTED" not in error]
    page.locator("#again").click()
    assert somebody.text()


def test_a_slow_picture_host_can_be_given_up(reader: Readers, alice: Caller, pictures: PictureHost) -> None:
    pictures.answers["/slow.png"] = silence
    page = reader().open(alice)
    page.locator("#url").fill(pictures.url("/slow.png"))
    page.locator("#url").press("Enter")
    expect(page.locator("#stage")).to_contain_text("The service is downloading and reading the picture")
    page.locator("#cancel").click()
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#problem")).to_be_hidden()


def test_a_picture_can_be_given_up_before_it_is_sent(reader: Readers, alice: Caller) -> None:
    somebody = reader()
    somebody.page.add_init_script(
        """const decode = HTMLImageElement.prototype.decode;
        HTMLImageElement.prototype.decode = async function () {
            await new Promise((resume) => (window.resume = resume));
            return decode.call(this);
        }"""
    )
    page = somebody.open(alice)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    somebody.upload()
    expect(page.locator("#stage")).to_contain_text(WORDS["stage_preparing"]["en"])
    page.wait_for_function("() => Boolean(window.resume)")
    page.locator("#cancel").click()
    page.evaluate("window.resume()")
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#problem")).to_be_hidden()
    assert [url for url in asked if url.endswith("/ocr")] == []


def test_of_two_pictures_that_wait_for_a_name_the_newer_is_read(reader: Readers, alice: Caller) -> None:
    somebody = reader()
    page = somebody.open()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    somebody.upload({"name": "older.jpg", "mimeType": "image/jpeg", "buffer": LETTER})
    page.get_by_label("User name").fill(alice.username)
    somebody.upload()
    expect(page.get_by_label("User name")).to_have_value(alice.username)
    page.get_by_label("Secret", exact=True).fill(alice.secret)
    page.keyboard.press("Enter")
    assert somebody.text() == LINES
    expect(page.locator("#picture-name")).to_contain_text("receipt.png")
    assert len([url for url in asked if url.endswith("/ocr")]) == 1


def test_a_late_picture_never_covers_a_newer_one(
    reader: Readers, alice: Caller, pictures: PictureHost
) -> None:
    """The older was read, and its host is slow to show it to the browser."""
    older = pictures.url("/older.png")
    pictures.answers["/older.png"] = http(200, LETTER, "Content-Type: image/jpeg")
    somebody = reader()
    page = somebody.open(alice)
    held: list[Route] = []
    page.route(older, lambda route: held.append(route))
    with page.expect_request(older):
        page.locator("#url").fill(older)
        page.locator("#url").press("Enter")
    somebody.upload()
    assert somebody.text() == LINES
    with page.expect_request_finished(lambda request: request.url == older):
        held[0].continue_()
    page.wait_for_timeout(300)
    assert somebody.text() == LINES
    expect(page.locator("#picture-name")).to_contain_text("receipt.png")


def test_what_is_no_picture_is_not_sent(reader: Readers, alice: Caller) -> None:
    somebody = reader()
    page = somebody.open(alice)
    somebody.upload({"name": "a.pdf", "mimeType": "application/pdf", "buffer": b"%PDF"})
    expect(page.locator("#problem-words")).to_have_text("a.pdf is not a picture.")


def test_a_broken_picture(reader: Readers, alice: Caller) -> None:
    somebody = reader()
    page = somebody.open(alice)
    somebody.upload({"name": "a.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n"})
    expect(page.locator("#problem-words")).to_have_text(TIPS["picture_unsupported"]["en"])


def test_a_service_that_is_gone(reader: Readers, alice: Caller) -> None:
    somebody = reader()
    page = somebody.open(alice)
    page.context.route("**/ocr", lambda route: route.abort("connectionrefused"))
    somebody.upload()
    expect(page.locator("#problem-words")).to_have_text(WORDS["not_reached"]["en"])
    assert [error for error in somebody.errors if "ERR_CONNECTION_REFUSED" not in error] == []
    somebody.errors.clear()


def test_a_clock_that_is_wrong_is_put_right(reader: Readers, alice: Caller) -> None:
    """By the time that the service's own answer says."""
    somebody = reader()
    somebody.page.clock.install(time="2020-01-01T00:00:00")
    page = somebody.open(alice)
    somebody.upload()
    assert somebody.text()
    expect(page.locator("#problem")).to_be_hidden()


def test_an_address_that_is_not_secure_says_so(reader: Readers, server: Server) -> None:
    """Browsers offer Web Crypto on https and on this machine's own names alone."""
    page = reader().page
    page.goto(server.url.replace("127.0.0.1", INSECURE_HOST))
    expect(page.locator("#insecure")).to_contain_text("Web Crypto works only on https")
    page.goto(server.url)
    expect(page.locator("#insecure")).to_be_hidden()
