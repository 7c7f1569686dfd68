"""The link of `flask users link`: it signs in once, replaces nobody unasked, leaves no secret on the disk."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from app.state.sql.sign_in_codes import SignInCodes
from app.system.clock import SystemClock
from app.wiring.state import build_database
from config.settings import StateSettings
from tests.browser.conftest import FLAGS, RECEIPT, Reader
from tests.browser.test_for_everybody import check
from tests.process.conftest import Server
from tests.signing import Caller

Readers = Callable[..., Reader]


@pytest.fixture(scope="module")
def bob(server: Server) -> Caller:
    return server.caller("bob")


def link_of(server: Server, caller: Caller) -> str:
    """As the command prints it, without the second that a command takes."""
    database = build_database(StateSettings(database_url=f"sqlite:///{server.home}/var/ocr.sqlite"))
    with closing(database):
        code = SignInCodes(database, valid_s=600, clock=SystemClock()).issue(caller.username)
    return f"{server.url}/#user={caller.username}&code={code}"


def signed_in(page: Page, name: str) -> None:
    expect(page.locator("#account-name")).to_have_text(name)


def written(folder: Path, text: str) -> list[str]:
    """The files below a folder that hold a text, in one of the forms in which programs write texts down."""
    raw = text.encode()
    forms = {
        raw,
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        raw.hex().encode(),
        raw.hex().upper().encode(),
    }
    for shift in range(3):  # base64 has three looks, by where the text begins in what is encoded
        forms.add(base64.b64encode(bytes(shift) + raw)[4 if shift else 0 : -4])
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [
        str(file.relative_to(folder)) for file in files if any(form in file.read_bytes() for form in forms)
    ]


def test_no_secret_is_written_to_the_disk(
    browser: Browser, server: Server, bob: Caller, tmp_path: Path
) -> None:
    """Chromium keeps the address of the link, whose code is spent; the secret it never writes."""
    link = server.flask("users", "link", "bob").strip()
    code = link.partition("code=")[2]
    context = browser.browser_type.launch_persistent_context(
        tmp_path, executable_path=shutil.which("chromium"), args=FLAGS, locale="en-GB"
    )
    page = context.pages[0]
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.url} {request.post_data_buffer!r}"))
    page.goto(link)
    signed_in(page, bob.username)
    assert page.url == f"{server.url}/"
    page.set_input_files("#file", RECEIPT)
    page.get_by_label("include my secret").check()
    expect(page.locator("#code")).to_contain_text(bob.secret)
    page.reload()
    signed_in(page, bob.username)
    page.get_by_role("link", name="API").click()
    page.locator("#example-secret").fill(bob.secret)
    page.locator("#account").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.locator("#account").click()
    page.locator("[name=user]").fill(bob.username)
    page.locator("[name=secret]").fill(bob.secret)
    page.locator("[name=secret]").press("Enter")
    page.get_by_role("link", name="Usage").click()
    expect(page.locator("#usage")).to_be_visible()
    page.wait_for_timeout(3000)  # Chromium writes its sessions every 2.5 s
    context.close()  # and all else at the latest now

    assert not [request for request in sent if bob.secret in request]
    [exchange] = [request for request in sent if code in request]
    assert exchange.startswith(f"{server.url}/sign-in b'")
    assert "Default/History" in written(tmp_path, code)
    assert written(tmp_path, bob.secret) == []
    again = requests.post(f"{server.url}/sign-in", json={"username": "bob", "code": code}, timeout=10)
    assert (again.status_code, again.json()["status_code"]) == (401, 4)


def test_who_is_signed_in_stays_so_from_page_to_page_of_a_tab(
    reader: Readers, server: Server, bob: Caller
) -> None:
    somebody = reader()
    page = somebody.page
    page.goto(link_of(server, bob))
    signed_in(page, "bob")
    page.wait_for_function("sessionStorage.getItem('ticket')")  # the worker that hands over is there
    for name in ("Usage", "API", "Console"):
        page.get_by_role("link", name=name, exact=True).first.click()
        signed_in(page, "bob")
    page.reload()
    signed_in(page, "bob")
    assert page.evaluate("Object.keys({...sessionStorage, ...localStorage})") == ["ticket"]
    other = page.context.new_page()
    other.goto(server.url)
    signed_in(other, "Sign in")
    page.locator("#account").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.reload()
    signed_in(page, "Sign in")


def test_a_link_signs_in_once(reader: Readers, server: Server, bob: Caller) -> None:
    link = link_of(server, bob)
    page = reader().page
    page.goto(link)
    signed_in(page, "bob")
    late = reader().page
    late.goto(link)
    expect(late.locator("#link-problem")).to_contain_text("This link has been used or has expired")
    signed_in(late, "Sign in")
    check(late)


def test_a_link_replaces_nobody_unasked(reader: Readers, server: Server, alice: Caller, bob: Caller) -> None:
    somebody = reader()
    page = somebody.open(alice)
    link = link_of(server, bob)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.goto(link)  # within the page: the part behind # alone is another
    expect(page.locator("#switch-question")).to_have_text(
        "You are signed in as alice. Sign in as bob instead?"
    )
    page.set_viewport_size({"width": 320, "height": 640})
    check(page)
    assert page.locator("#switch").evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
    page.keyboard.press("Escape")
    page.goto(f"{server.url}/docs")
    signed_in(page, "alice")
    page.goto(link)  # from another page
    page.get_by_role("button", name="Stay signed in as alice").click()
    signed_in(page, "alice")
    assert f"{server.url}/sign-in" not in sent
    page.goto(link)
    page.get_by_role("button", name="Sign in as bob").click()
    signed_in(page, "bob")
    page.goto(link_of(server, bob))  # who it is already, is not asked
    expect(page.locator("#toast")).to_have_text("Signed in as bob, in this tab only.")
    assert sent.count(f"{server.url}/sign-in") == 2
    assert page.locator("#switch").is_hidden()


def test_a_page_that_the_back_button_brings_back_knows_who_signed_out(
    browser: Browser, server: Server, bob: Caller, tmp_path: Path
) -> None:
    """The browser kept the page with its memory."""
    context = browser.browser_type.launch_persistent_context(
        tmp_path,
        executable_path=shutil.which("chromium"),
        args=FLAGS,
        locale="en-GB",
        ignore_default_args=["--disable-back-forward-cache"],
    )
    page = context.pages[0]
    page.goto(link_of(server, bob))
    signed_in(page, "bob")
    page.wait_for_function("sessionStorage.getItem('ticket')")  # the worker that hands over is there
    page.evaluate("window.kept = true")
    page.get_by_role("link", name="Usage").click()
    signed_in(page, "bob")
    page.evaluate("history.back()")  # Playwright's own waits for a page that loads
    page.wait_for_function("window.kept")
    signed_in(page, "bob")
    page.evaluate("history.forward()")
    page.wait_for_function("!window.kept")
    signed_in(page, "bob")
    page.locator("#account").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.evaluate("history.back()")
    page.wait_for_function("window.kept")
    signed_in(page, "Sign in")
    context.close()
