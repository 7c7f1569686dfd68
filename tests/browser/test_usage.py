"""The usage page: real requests, and their figures as charts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from config.settings import ROOT, load_tips
from tests.browser.conftest import Reader
from tests.browser.test_for_everybody import BRIEFLY, LOOKS, check
from tests.process.conftest import Server
from tests.signing import Caller

Readers = Callable[..., Reader]

DIGITS = (ROOT / "samples" / "digits.png").read_bytes()


@pytest.fixture(scope="module")
def busy_bee(server: Server) -> Caller:
    """Has read three pictures of ten, and sent one that is none."""
    caller = server.caller("bee", quota_limit=10)
    for _ in range(3):
        assert server.post(caller.body(picture=DIGITS)).status_code == 200
    assert server.post(caller.body(picture=b"no picture")).status_code == 422
    return caller


def test_what_was_used_is_shown(reader: Readers, busy_bee: Caller) -> None:
    page = reader().open(busy_bee, path="/usage.html")
    tiles = page.locator("#tiles dd")
    expect(tiles.nth(0)).to_contain_text("4")
    expect(tiles.nth(0)).to_contain_text("code 16: 1")
    expect(tiles.nth(1)).to_have_text("3")
    expect(tiles.nth(4)).to_have_text("7of 10")
    heights = [
        page.locator(f"#requests rect.series-{kind}").evaluate("bar => bar.getBBox().height")
        for kind in ("good", "theirs")
    ]
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.01)
    assert page.locator("#requests .day").count() == 30
    assert page.locator("#latency circle").count() == 2
    page.locator("details summary").click()
    expect(page.locator("#table tbody tr")).to_have_count(1)
    page.locator("#days").select_option("7")
    expect(page.locator("#requests .day")).to_have_count(7)


def test_an_administrator_sees_everybody(reader: Readers, server: Server, busy_bee: Caller) -> None:
    boss = server.caller("boss", admin=True)
    page = reader().open(boss, path="/usage.html")
    expect(page.locator("#users-table tbody tr", has_text="bee")).to_contain_text("7 of 10")
    page.locator("#whose").select_option("bee")
    expect(page.locator("#tiles dd").nth(4)).to_have_text("7of 10")
    page.locator("#whose").select_option("all users")
    expect(page.locator("#tiles dd")).to_have_count(4)
    check(page)
    page.goto("about:blank")
    page = reader().open(busy_bee, path="/usage.html")
    expect(page.locator("#usage")).to_be_visible()
    expect(page.locator("#users")).to_be_hidden()


def test_who_is_not_signed_in_is_asked(reader: Readers, busy_bee: Caller) -> None:
    page = reader().open(path="/usage.html")
    expect(page.locator("#signed-out")).to_be_visible()
    expect(page.locator("#usage")).to_be_hidden()
    page.locator("#sign-in-here").click()
    page.get_by_label("User name").fill(busy_bee.username)
    page.get_by_label("Secret", exact=True).fill(busy_bee.secret)
    page.keyboard.press("Enter")
    expect(page.locator("#usage")).to_be_visible()


def test_a_wrong_secret_is_told(reader: Readers, busy_bee: Caller) -> None:
    page = reader(locale="zh-CN").open(replace(busy_bee, secret="wrong"), path="/usage.html")
    expect(page.locator("#usage-problem")).to_have_text(load_tips()["sign_wrong"]["zh"])


@pytest.mark.parametrize("look", BRIEFLY)
def test_the_usage_page_is_good_for_everybody(reader: Readers, busy_bee: Caller, look: str) -> None:
    somebody = reader(**LOOKS[look])
    page = somebody.open(path="/usage.html")
    check(page)
    somebody.open(busy_bee, path="/usage.html")
    expect(page.locator("#usage")).to_be_visible()
    page.locator("#toast").evaluate("toast => toast.classList.remove('shown')")
    check(page)
    somebody.shot(f"usage-{look}")
