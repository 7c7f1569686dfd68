"""The pages for people through Nginx: their files from its disk, their policy from the service."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Response, expect

from app.web.docs import example
from app.web.pages import POLICY
from config.settings import ROOT
from tests.browser.conftest import Reader, browser, reader  # noqa: F401  fixtures
from tests.gateway.conftest import Gateway

LINES = json.loads((ROOT / "samples" / "labels.json").read_text())["receipt.png"]


@pytest.fixture(scope="module")
def server(gateway: Gateway) -> Gateway:
    """What a reader's browser opens."""
    return gateway


def test_the_console_reads_a_picture_and_the_other_pages_load(
    reader: Callable[..., Reader],  # noqa: F811
    gateway: Gateway,
) -> None:
    """Its errors in the browser's console, such as a file that Nginx does not find, fail the test."""
    caller = gateway.caller("onlooker")
    somebody = reader()
    answers: list[Response] = []
    somebody.page.on("response", lambda answer: answers.append(answer))
    page = somebody.open(caller)
    somebody.upload()
    assert somebody.text() == LINES
    somebody.open(path="/usage.html")
    expect(page.locator("#usage")).to_be_visible()
    expect(page.locator("#tiles dd").nth(1)).to_have_text("1")
    somebody.open(path="/docs")
    expect(page.locator("#example-sign")).to_have_text(example().sign)
    assert len(answers) > 20
    assert {answer.status for answer in answers} <= {200, 304}
    pages = [answer for answer in answers if "text/html" in answer.headers.get("content-type", "")]
    assert [answer.headers["content-security-policy"] for answer in pages] == [POLICY] * 3
