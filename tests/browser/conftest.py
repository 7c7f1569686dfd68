"""Chromium against a real gunicorn, both started for a module; each test has a profile of its own."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from config.settings import ROOT
from tests.picture_host import PictureHost, http
from tests.process.conftest import Server, StartServer, start_server  # noqa: F401  a fixture
from tests.signing import Caller

SHOTS = ROOT / "var" / "screenshots"
RECEIPT = ROOT / "samples" / "receipt.png"
DESKTOP = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}
INSECURE_HOST = "ocr.example"
FLAGS = [
    "--no-sandbox",  # root has none
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    # No name but this one is there, so that nothing can be asked of anybody.
    f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1,MAP * ~NOTFOUND,EXCLUDE 127.0.0.1",
]
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one module: Playwright keeps an event loop running, and tests after it could not start theirs."""
    chromium = shutil.which("chromium")
    if chromium is None:
        why = "no chromium: apt-get install chromium fonts-noto-cjk"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pictures() -> Iterator[PictureHost]:
    with PictureHost({"/receipt.png": http(200, RECEIPT.read_bytes(), "Content-Type: image/png")}) as host:
        yield host


@pytest.fixture(scope="module")
def server(start_server: StartServer, pictures: PictureHost) -> Server:  # noqa: F811
    """One engine thread and a short queue, so that a test can fill them; pictures may come from our host."""
    return start_server(
        WEB_CONCURRENCY=1,
        OCR_ENGINE__THREADS=1,
        OCR_ENGINE__QUEUE_WAIT_S=0.2,
        OCR_FETCH__ALLOW_PORTS=pictures.port,
        OCR_FETCH__ALLOW_NETWORKS="127.0.0.0/8",
    )


@pytest.fixture(scope="module")
def alice(server: Server) -> Caller:
    return server.caller()


@dataclass(frozen=True)
class Reader:
    """Somebody in front of the console. errors: what the browser complained of; good pages cause none."""

    page: Page
    server: Server
    errors: list[str]

    def open(self, caller: Caller | None = None, path: str = "/") -> Page:
        """A page, loaded anew; signed in by hand as caller, whatever its secret is."""
        self.page.goto(f"{self.server.url}{path}")
        if caller:
            self.page.locator("#account").click()
            self.page.locator("[name=user]").fill(caller.username)
            self.page.locator("[name=secret]").fill(caller.secret)
            self.page.locator("[name=secret]").press("Enter")
            expect(self.page.locator("#account-name")).to_have_text(caller.username)
        return self.page

    def upload(self, picture: Path | dict[str, Any] = RECEIPT) -> None:
        self.page.set_input_files("#file", picture)  # type: ignore[arg-type]

    def text(self) -> list[str]:
        """The lines of the result, once it is there."""
        expect(self.page.locator("#result")).to_be_visible()
        return self.page.locator("#lines .said").all_text_contents()

    def shot(self, name: str) -> Path:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
        return SHOTS / f"{name}.png"


@pytest.fixture
def reader(browser: Browser, server: Server) -> Iterator[Callable[..., Reader]]:
    """Open somebody's browser: reader(locale="zh-CN", color_scheme="dark"). Errors in its console fail."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_browser(**options: Any) -> Reader:
        context = browser.new_context(**{"locale": "en-GB", "viewport": DESKTOP} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text) if _wrong(message) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return Reader(page, server, errors)

    yield open_browser
    for context in contexts:
        context.close()
    assert errors == []


def _wrong(message: ConsoleMessage) -> bool:
    """Chromium calls each answer over 399 an error; those of the service's routes are expected."""
    refused = "Failed to load resource: the server responded with a status of"
    expected = message.text.startswith(refused) and re.search(
        r"/(ocr|usage|sign-in)\b", message.location["url"]
    )
    return message.type in ("error", "warning") and not expected
