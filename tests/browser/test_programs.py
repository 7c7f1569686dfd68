"""For who writes a program: what the console shows of a request, and the API's page."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from app.authenticate import as_signed, sign, string_to_sign
from app.web.assets import Assets
from app.web.docs import FIELDS, SECRET, example
from config.settings import ROOT
from tests.browser.conftest import RECEIPT, Reader
from tests.picture_host import PictureHost
from tests.process.conftest import Server
from tests.servers import which
from tests.signing import Caller

DIGITS = ROOT / "samples" / "digits.png"
VECTORS = ROOT / "clients" / "signing-vectors.json"
Readers = Callable[..., Reader]


NASTY = [
    "a,b;type=text.png",
    '  it\'s "quoted" back\\slash\\n .png',
    "$(touch pwned) `touch pwned` $HOME *?[a]{b}~!#%s&|<>.png",
    "-dash　小票.png",
    "@two\nlines.png",
]


@pytest.mark.parametrize("from_url", [False, True])
def test_the_programs_run_as_they_are_shown(
    reader: Readers, alice: Caller, pictures: PictureHost, from_url: bool
) -> None:
    """With an option of each kind, so that what they sign is more than the picture."""
    which("curl")
    somebody = reader()
    page = somebody.open(alice)
    page.locator(".options summary").click()
    page.get_by_label("Rotate the page").check()
    page.get_by_label("Characters").select_option("chinese+latin")
    page.get_by_label("Detection size").fill("1280")
    if from_url:
        page.locator("#url").fill(pictures.url("/receipt.png"))
        page.locator("#url").press("Enter")
    else:
        somebody.upload()
    read = somebody.text()
    page.get_by_label("include my secret").check()
    curl = page.locator("#code").inner_text()
    page.get_by_role("tab", name="Python").click()
    python = page.locator("#code").inner_text()
    page.get_by_role("tab", name="Request").click()
    sent = json.loads(page.locator("#code").inner_text())
    assert sent | {"orient": True, "charset": "chinese+latin", "side_limit": 1280} == sent

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=RECEIPT.parent, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert json.loads(run("sh", "-euc", curl))["result"].splitlines() == read
    assert run(sys.executable, "-c", python).splitlines() == read


def test_programs_run_whatever_the_picture_is_called(
    reader: Readers, alice: Caller, server: Server, tmp_path: Path
) -> None:
    """In the shell and in curl's -F, many characters have a meaning of their own."""
    which("curl")
    somebody = reader()
    page = somebody.open(alice)
    somebody.upload({"name": NASTY[0], "mimeType": "image/png", "buffer": DIGITS.read_bytes()})
    read = somebody.text()
    page.get_by_label("include my secret").check()
    shown = page.locator("#code").inner_text()
    page.get_by_role("tab", name="Request").click()
    fields = json.loads(page.locator("#code").inner_text())
    for name in NASTY:
        curl, python = page.evaluate(
            """async ([module, ...given]) => {
                const {curl, python} = await import(module);
                return [curl(...given), python(...given)];
            }""",
            [Assets.load().url("snippets.js"), f"{server.url}/ocr", fields, name, alice.secret],
        )
        assert (curl.strip() == shown.strip()) == (name == NASTY[0])
        folder = tmp_path / str(NASTY.index(name))
        folder.mkdir()
        shutil.copyfile(DIGITS, folder / name)
        for command in (["sh", "-euc", curl], [sys.executable, "-c", python]):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, (name, done.stderr)
            text = json.loads(done.stdout)["result"] if "sh" in command else done.stdout
            assert text.splitlines() == read, name
        assert [file.name for file in folder.iterdir()] == [name]


def test_the_exact_request_and_answer_are_shown_and_copied(
    reader: Readers, alice: Caller, pictures: PictureHost
) -> None:
    somebody = reader(permissions=["clipboard-read", "clipboard-write"])
    page = somebody.open(alice)
    page.locator("#url").fill(pictures.url("/receipt.png"))
    with page.expect_response("**/ocr") as answered:
        page.locator("#url").press("Enter")
    assert somebody.text()
    sent, got = answered.value.request.post_data_json, answered.value.json()
    assert got["status_code"] == 6
    for tab, exact in (("Request", sent), ("Response", got)):
        page.get_by_role("tab", name=tab).click()
        shown = page.locator("#code").inner_text()
        assert json.loads(shown) == exact
        page.locator("#copy-code").click()
        page.wait_for_function("async shown => (await navigator.clipboard.readText()) === shown", arg=shown)
        expect(page.locator("#toast")).to_have_text("Copied.")


def test_the_example_is_worked_anew_as_it_is_changed(reader: Readers) -> None:
    """What the page's script makes of any field is what the service makes of it."""
    page = reader().open(path="/docs")
    expect(page.locator("#example-sign")).to_have_text(example().sign)
    fields = FIELDS | {"picture_url": "https://example.com/小票 (1)!*'~.png?a=1&b=%20+", "side_limit": 1280}
    page.locator("#example-fields").fill(json.dumps(fields, ensure_ascii=False))
    written = {name: as_signed(value) for name, value in fields.items()}
    expect(page.locator("#example-string")).to_have_text(string_to_sign(written))
    expect(page.locator("#example-sign")).to_have_text(sign(SECRET, written))
    page.locator("#example-secret").fill("密钥")
    expect(page.locator("#example-sign")).to_have_text(sign("密钥", written))
    page.locator("#example-fields").fill("[1]")
    expect(page.locator("#example-problem")).to_contain_text("one flat JSON object")


def test_the_pages_sign_as_the_vectors_say(reader: Readers) -> None:
    page = reader().open(path="/docs")
    module = Assets.load().url("sign.js")
    for vector in json.loads(VECTORS.read_text())["hmac-sha256"]:
        signed = page.evaluate(
            """async ([module, {secret, fields}]) => {
                const {sign, stringToSign} = await import(module);
                return [stringToSign(fields), await sign(secret, fields)];
            }""",
            [module, vector],
        )
        assert signed == [vector["string_to_sign"], vector["sign"]], vector["name"]


def test_try_it_signs_and_sends(reader: Readers, alice: Caller, pictures: PictureHost) -> None:
    page = reader().open(alice, path="/docs")
    page.locator("[name=fields]").fill(
        json.dumps({"picture_url": pictures.url("/receipt.png"), "boxes": False})
    )
    page.get_by_role("button", name="Sign and send").click()
    expect(page.locator("#try-http")).to_have_text("HTTP 200")
    answer = json.loads(page.locator("#try-answer").inner_text())
    assert "box" not in answer["lines"][0]
    page.locator("[name=image]").set_input_files(RECEIPT)
    page.locator("[name=fields]").fill('{"unknown": 1}')
    page.get_by_role("button", name="Sign and send").click()
    expect(page.locator("#try-http")).to_have_text("HTTP 400")
    expect(page.locator("#try-answer")).to_contain_text('"field": "unknown"')
