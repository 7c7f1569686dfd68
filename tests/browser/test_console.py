"""The console as people use it: a picture in, its text out, whatever way it came."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Route, expect

from config.settings import ROOT
from tests.browser.conftest import RECEIPT, Reader
from tests.picture_host import PictureHost
from tests.signing import Caller

LINES = json.loads((ROOT / "samples" / "labels.json").read_text())["receipt.png"]

Readers = Callable[..., Reader]


def test_a_bar_tells_how_much_of_the_picture_is_sent(reader: Readers, alice: Caller) -> None:
    file = io.BytesIO()
    Image.open(RECEIPT).convert("RGB").save(file, "PNG", compress_level=0)
    assert len(file.getvalue()) > 2_000_000
    somebody = reader()
    page = somebody.open(alice)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 1_000_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    page.evaluate(
        """() => {
            window.told = [];
            const bar = document.getElementById('bar');
            new MutationObserver(() => bar.hasAttribute('value') && window.told.push(bar.value))
                .observe(bar, { attributes: true });
        }"""
    )
    somebody.upload({"name": "large.png", "mimeType": "image/png", "buffer": file.getvalue()})
    assert somebody.text() == LINES
    told = page.evaluate("window.told")
    assert told == sorted(told)
    assert len({percent for percent in told if 0 < percent < 100}) >= 3, told


def test_who_is_not_signed_in_is_asked_and_the_picture_waits(reader: Readers, alice: Caller) -> None:
    somebody = reader()
    page = somebody.open()
    somebody.upload()
    page.get_by_label("User name").fill(alice.username)
    page.get_by_label("Secret", exact=True).fill(alice.secret)
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    assert somebody.text() == LINES
    page.locator("#account").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_line_and_its_box_light_up_together(reader: Readers, alice: Caller) -> None:
    somebody = reader()
    page = somebody.open(alice)
    somebody.upload()
    total = LINES.index("合计 TOTAL")
    line, box = page.locator("#lines li").nth(total), page.locator("polygon").nth(total)
    line.hover()
    expect(box).to_have_class("sure lit")
    page.locator("polygon").nth(0).hover()
    expect(box).to_have_class("sure")
    expect(page.locator("#lines li").nth(0)).to_have_class("sure lit")
    page.locator("polygon").nth(1).click()
    expect(page.locator("#lines li").nth(1)).to_be_focused()


def test_boxes_and_lines_are_coloured_by_score(reader: Readers, alice: Caller, pictures: PictureHost) -> None:
    scores = {0.99: "sure", 0.95: "sure", 0.949: "fair", 0.8: "fair", 0.799: "doubtful"}

    def scored(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        for line, score in zip(body["lines"], scores, strict=False):
            line["score"] = score
        route.fulfill(response=answer, json=body)

    somebody = reader()
    page = somebody.open(alice)
    page.route("**/ocr", scored)
    page.locator("#url").fill(pictures.url("/receipt.png"))
    page.locator("#url").press("Enter")
    assert somebody.text() == LINES
    for number, tone in enumerate(scores.values()):
        expect(page.locator("polygon").nth(number)).to_have_class(tone)
        expect(page.locator("#lines li").nth(number)).to_have_class(tone)
    strokes = "boxes => boxes.map(box => getComputedStyle(box).stroke)"
    assert len(set(page.locator("polygon").evaluate_all(strokes))) == 3


def test_a_url_is_fetched_by_the_service(reader: Readers, alice: Caller, pictures: PictureHost) -> None:
    somebody = reader()
    page = somebody.open(alice)
    page.get_by_label("Or the URL of a picture").fill(pictures.url("/receipt.png"))
    page.get_by_role("button", name="Read", exact=True).click()
    assert somebody.text() == LINES
    assert page.locator("#stage-picture img").evaluate("image => image.naturalWidth") == 640
    expect(page.locator("#times")).to_contain_text("Downloading")


def test_a_picture_is_pasted_from_the_clipboard(reader: Readers, alice: Caller) -> None:
    somebody = reader(permissions=["clipboard-read", "clipboard-write"])
    page = somebody.open(alice)
    page.evaluate(
        """async () => {
            const sample = document.querySelector('link[rel=icon]').href.replace('logo.svg', 'sample.png');
            const blob = await (await fetch(sample)).blob();
            await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]);
        }"""
    )
    page.keyboard.press("Control+V")
    assert somebody.text() == LINES


def test_a_picture_is_dropped_on_the_page(reader: Readers, alice: Caller) -> None:
    somebody = reader()
    page = somebody.open(alice)
    dropped = page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], 'dropped.png', {type: 'image/png'}));
            return transfer;
        }""",
        list(RECEIPT.read_bytes()),
    )
    page.dispatch_event("main", "dragover", {"dataTransfer": dropped})
    page.dispatch_event("main", "drop", {"dataTransfer": dropped})
    assert somebody.text() == LINES
    expect(page.locator("#picture-name")).to_contain_text("dropped.png")


def test_a_link_to_the_web_is_read_where_it_is_dropped_on_the_page(
    reader: Readers, alice: Caller, pictures: PictureHost
) -> None:
    """Not another link, nor one that is dropped into the field for it."""
    somebody = reader()
    page = somebody.open(alice)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def left_alone(link: str, where: str) -> object:
        return page.evaluate(
            """([link, where]) => {
                const dataTransfer = new DataTransfer();
                dataTransfer.setData('text/uri-list', link);
                const drop = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true });
                return document.querySelector(where).dispatchEvent(drop);
            }""",
            [link, where],
        )

    url = pictures.url("/receipt.png")
    assert left_alone("mailto:alice@example.com", "main") is False
    assert left_alone(url, "#url") is True
    assert left_alone(f"{url}\r\n", "main") is False
    assert somebody.text() == LINES
    assert len([address for address in asked if address.endswith("/ocr")]) == 1


def test_a_name_in_another_encoding_is_shown_as_it_is(
    reader: Readers, alice: Caller, pictures: PictureHost
) -> None:
    name = "%B7%A2%C6%B1.png"  # in GBK
    pictures.answers[f"/{name}"] = pictures.answers["/receipt.png"]
    somebody = reader()
    page = somebody.open(alice)
    page.locator("#url").fill(pictures.url(f"/{name}"))
    page.locator("#url").press("Enter")
    assert somebody.text() == LINES
    expect(page.locator("#picture-name")).to_contain_text(name)


def test_the_picture_before_is_forgotten(reader: Readers, alice: Caller) -> None:
    somebody = reader()
    page = somebody.open(alice)
    somebody.upload()
    assert somebody.text() == LINES
    shown = page.locator("#stage-picture img")
    first = shown.get_attribute("src")
    somebody.upload({"name": "again.png", "mimeType": "image/png", "buffer": RECEIPT.read_bytes()})
    expect(page.locator("#picture-name")).to_contain_text("again.png")
    is_there = """url => {
        const image = new Image();
        image.src = url;
        return image.decode().then(() => true, () => false);
    }"""
    assert page.evaluate(is_there, shown.get_attribute("src")) is True
    assert page.evaluate(is_there, first) is False
    somebody.errors[:] = [error for error in somebody.errors if "ERR_FILE_NOT_FOUND" not in error]


def test_text_and_answer_can_be_taken_along(reader: Readers, alice: Caller) -> None:
    somebody = reader(permissions=["clipboard-read", "clipboard-write"])
    page = somebody.open(alice)
    somebody.upload()
    assert somebody.text() == LINES
    page.locator("#copy").click()
    expect(page.locator("#toast")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == LINES
    with page.expect_download() as txt:
        page.locator("#save-txt").click()
    assert txt.value.suggested_filename == "receipt.txt"
    assert txt.value.path().read_text("utf-8").splitlines() == LINES
    with page.expect_download() as saved:
        page.locator("#save-json").click()
    answer = json.loads(saved.value.path().read_text("utf-8"))
    assert [line["text"] for line in answer["lines"]] == LINES


def test_a_picture_that_the_browser_cannot_show_is_read_all_the_same(
    reader: Readers, alice: Caller, tmp_path: Path
) -> None:
    Image.open(RECEIPT).save(tmp_path / "receipt.tiff")
    somebody = reader()
    page = somebody.open(alice)
    somebody.upload(tmp_path / "receipt.tiff")
    assert somebody.text() == LINES
    expect(page.locator("#picture-note")).to_contain_text("Your browser cannot show this picture")
    assert page.locator("#stage-picture text").all_text_contents() == LINES


def test_names_and_text_are_never_markup(reader: Readers, alice: Caller) -> None:
    somebody = reader()
    page = somebody.open(alice)
    name = "<img src=x onerror=alert(1)>.png"
    somebody.upload({"name": name, "mimeType": "image/png", "buffer": RECEIPT.read_bytes()})
    assert somebody.text() == LINES
    expect(page.locator("#picture-name b")).to_have_text(name)


def photo(width: int, height: int) -> bytes:
    """A photograph of the receipt: large, and lying on its side but for its EXIF turn."""
    sheet = Image.new("RGB", (width, height), "#a89878")
    with Image.open(RECEIPT) as file:
        scale = height * 0.8 / file.height
        receipt = file.convert("RGB").resize((round(file.width * scale), round(file.height * scale)))
        sheet.paste(receipt, (width // 2 - receipt.width // 2, height // 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    out = io.BytesIO()
    sheet.rotate(90, expand=True).save(out, "JPEG", quality=80, exif=exif)
    return out.getvalue()


@pytest.mark.parametrize(
    ("width", "height", "scaled"), [(5000, 8000, False), (6000, 8000, True)], ids=["40 MP", "48 MP"]
)
def test_the_boxes_of_a_large_photo_are_where_its_text_is(
    reader: Readers, alice: Caller, width: int, height: int, scaled: bool
) -> None:
    somebody = reader()
    page = somebody.open(alice)
    somebody.upload({"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo(width, height)})
    lines = somebody.text()
    assert "SPRUCE TEA HOUSE" in lines
    assert page.locator("#picture-note").is_visible() == scaled
    shown = page.locator("#stage-picture img").bounding_box()
    box = page.locator("polygon").nth(lines.index("SPRUCE TEA HOUSE")).bounding_box()
    assert shown
    assert box
    assert shown["height"] <= 900
    assert abs(shown["width"] / shown["height"] - width / height) < 0.01
    # In the receipt the line goes from 216 to 424 of 640 px and from 146 to 168 of 1090.
    scale = shown["height"] * 0.8 / 1090
    left = shown["x"] + shown["width"] / 2 + (216 - 320) * scale
    top = shown["y"] + shown["height"] * 0.1 + 146 * scale
    # Boxes have a margin around the text, of less than half a line on each side.
    margins = {
        "left": left - box["x"],
        "top": top - box["y"],
        "right": box["x"] + box["width"] - left - 208 * scale,
        "bottom": box["y"] + box["height"] - top - 22 * scale,
    }
    assert {side for side, margin in margins.items() if not -2 < margin < 11 * scale + 2} == set(), margins
