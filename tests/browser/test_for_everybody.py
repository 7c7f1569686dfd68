"""Both languages, both themes, a phone, the keyboard alone, and what axe finds; with pictures to look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FloatRect, Page, expect

from tests.browser.conftest import PHONE, SHOTS, Reader
from tests.picture_host import PictureHost
from tests.signing import Caller

Readers = Callable[..., Reader]

LOOKS: dict[str, dict[str, Any]] = {
    "light-en": {"locale": "en-GB", "color_scheme": "light"},
    "dark-zh": {"locale": "zh-CN", "color_scheme": "dark"},
    "phone-light-zh": {"locale": "zh-CN", "color_scheme": "light", "viewport": PHONE, "has_touch": True},
    "phone-dark-en": {"locale": "en-GB", "color_scheme": "dark", "viewport": PHONE, "has_touch": True},
}
BRIEFLY = ["light-en", "phone-dark-en"]
HEADLINES = {"en": "Read the text of a picture", "zh": "识别图片中的文字"}
BODY_COLOUR = "getComputedStyle(document.body).backgroundColor"


def check(page: Page) -> None:
    """Nothing that axe calls a violation, and nothing wider than the screen."""
    page.wait_for_timeout(300)  # what fades in has its full contrast then
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("look", LOOKS)
def test_every_state_of_the_console_is_good_for_everybody(reader: Readers, alice: Caller, look: str) -> None:
    somebody = reader(**LOOKS[look])
    page = somebody.open()
    check(page)
    somebody.shot(f"console-start-{look}")
    page.locator(".options summary").click()
    check(page)
    page.locator("#account").click()
    check(page)
    somebody.open(alice)
    page.locator(".options summary").click()
    page.locator("#sample").click()
    expect(page.locator("#result")).to_be_visible()
    page.locator("#lines li").nth(4).hover()
    check(page)
    page.locator("#toast").evaluate("toast => toast.classList.remove('shown')")
    page.wait_for_timeout(300)
    somebody.shot(f"console-result-{look}")
    assert page.viewport_size
    upper: FloatRect = {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": 1090}
    page.screenshot(
        path=SHOTS / f"console-{look}.png", full_page=True, clip=upper
    )  # the README has one of them
    page.locator("#url").fill("http://10.0.0.1/receipt.png")
    page.locator("#url").press("Enter")
    expect(page.locator("#problem")).to_be_visible()
    check(page)
    somebody.shot(f"console-problem-{look}")


@pytest.mark.parametrize("look", BRIEFLY)
def test_the_apis_page_is_good_for_everybody(reader: Readers, look: str) -> None:
    somebody = reader(**LOOKS[look])
    page = somebody.open(path="/docs")
    check(page)
    somebody.shot(f"docs-{look}")
    before = page.locator("h1").inner_text()
    page.locator("#language").click()
    expect(page.locator("h1")).not_to_have_text(before)
    check(page)


def test_the_language_is_the_browsers_until_it_is_switched(reader: Readers, alice: Caller) -> None:
    somebody = reader(locale="zh-CN")
    page = somebody.open(alice)
    expect(page.locator("h1")).to_have_text(HEADLINES["zh"])
    page.locator("#sample").click()
    expect(page.locator("#count")).to_contain_text("行")
    page.locator("#language").click()
    expect(page.locator("h1")).to_have_text(HEADLINES["en"])
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#count")).to_contain_text("lines")
    expect(page.locator("#lines")).to_have_attribute("aria-label", "Lines in reading order")
    page.reload()
    expect(page.locator("h1")).to_have_text(HEADLINES["en"])


def test_the_theme_is_the_systems_until_it_is_switched(reader: Readers) -> None:
    page = reader(color_scheme="dark").open()
    dark = page.evaluate(BODY_COLOUR)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(BODY_COLOUR)
    assert light != dark
    page.locator("#theme").click()
    assert page.evaluate(BODY_COLOUR) == dark
    page.reload()
    assert page.evaluate(BODY_COLOUR) == dark
    page.locator("#theme").click()
    assert page.evaluate(BODY_COLOUR) == light


def test_all_of_it_works_by_keyboard(reader: Readers, alice: Caller, pictures: PictureHost) -> None:
    somebody = reader(permissions=["clipboard-read", "clipboard-write"])
    page = somebody.open()
    keys = page.keyboard

    def tab_to(selector: str) -> None:
        for _ in range(60):
            if page.locator(selector).first.evaluate("node => node === document.activeElement"):
                return
            keys.press("Tab")
        pytest.fail(f"Tab never comes to {selector}")

    tab_to(".skip")
    tab_to("#sample")
    keys.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    tab_to("[name=user]")
    keys.type(alice.username)
    tab_to("[name=secret]")
    keys.type(alice.secret)
    keys.press("Enter")
    lines = somebody.text()
    expect(page.locator("#picture-name")).to_contain_text("sample.png")
    tab_to("#url")
    keys.type(pictures.url("/receipt.png"))
    keys.press("Enter")
    expect(page.locator("#picture-name")).to_contain_text("receipt.png")
    assert somebody.text() == lines
    tab_to("#copy")
    keys.press("Enter")
    expect(page.locator("#toast")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == lines
    tab_to("#lines li")
    for _ in range(3):
        keys.press("ArrowDown")
    expect(page.locator("#lines li").nth(3)).to_be_focused()
    expect(page.locator("polygon").nth(3)).to_have_class("sure lit")
    keys.press("End")
    expect(page.locator("#lines li").last).to_be_focused()
    tab_to("#tab-curl")
    keys.press("ArrowRight")
    expect(page.locator("#tab-python")).to_be_focused()
    expect(page.locator("#code")).to_contain_text("import hashlib")
