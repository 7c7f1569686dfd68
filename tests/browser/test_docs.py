"""The API's page: the signing rule at work, and "try it"."""

from __future__ import annotations

import json
from collections.abc import Callable

from playwright.sync_api import expect

from app.authenticate import as_signed, sign, string_to_sign
from app.web.assets import Assets
from app.web.docs import FIELDS, SECRET, example
from config.settings import ROOT
from tests.browser.conftest import RECEIPT, Reader
from tests.picture_host import PictureHost
from tests.signing import Caller

VECTORS = ROOT / "clients" / "signing-vectors.json"
Readers = Callable[..., Reader]


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
