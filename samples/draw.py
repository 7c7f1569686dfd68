"""Draw the sample pictures: `python samples/draw.py [DIR]`. All people, shops and countries are invented.

Tests import this module too, so that they know what a picture says. The same call draws the same pixels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

HERE = Path(__file__).parent
FONT = HERE / "fonts" / "NotoSansSC-subset.otf"

INK, GREY, RED, BLUE = "#1c1c1e", "#55565a", "#a8322d", "#1f4e79"
DESK = "#b9aa96"


@dataclass(frozen=True)
class Drawn:
    """A picture (mode RGB) and the text on it, in reading order; `name` is its file's.

    lines: one entry for each piece of text that stands alone, as an OCR engine sees it: the name of an
    article and its price, far apart on one row, are two.
    """

    name: str
    image: Image.Image
    lines: tuple[str, ...]


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    # The basic layout: the other one depends on libraries that not every machine has.
    return ImageFont.truetype(FONT, size, layout_engine=ImageFont.Layout.BASIC)


class Sheet:
    """Paper that remembers what was written on it. Text is placed by its baseline."""

    def __init__(self, width: int, height: int, paper: str = "white") -> None:
        self.image = Image.new("RGB", (width, height), paper)
        self.pen = ImageDraw.Draw(self.image)
        self.lines: list[str] = []

    def write(
        self, x: int, y: int, text: str, size: int, *, ink: str = INK, align: str = "l", bold: bool = False
    ) -> None:
        """align: whether x is the left (l), the middle (m) or the right (r) of the text."""
        stroke = size / 50 if bold else 0
        self.pen.text((x, y), text, ink, font(size), anchor=f"{align}s", stroke_width=stroke)
        self.lines.append(text)

    def block(self, x: int, y: int, text: str, size: int, *, leading: int) -> None:
        for row, line in enumerate(cleandoc(text).splitlines()):
            if line:
                self.write(x, y + row * leading, line, size)

    def rule(self, y: int, *, left: int, right: int, dash: int = 0, ink: str = GREY) -> None:
        step = 2 * dash or right - left
        for x in range(left, right, step):
            self.pen.line((x, y, min(x + (dash or step), right), y), ink, 2)

    def drawn(self, name: str) -> Drawn:
        return Drawn(name, self.image, tuple(self.lines))


def on_desk(paper: Image.Image, margin: int, *, angle: float = 0) -> Image.Image:
    """The paper as a camera sees it: on a table, with a soft shadow, turned by degrees against the clock."""
    size = (paper.width + 2 * margin, paper.height + 2 * margin)
    desk, shadow = Image.new("RGB", size, DESK), Image.new("L", size)
    shadow.paste(120, (margin + 3, margin + 8, margin + 3 + paper.width, margin + 8 + paper.height))
    desk.paste("#3b3025", (0, 0), shadow.filter(ImageFilter.GaussianBlur(9)))
    desk.paste(paper, (margin, margin))
    return desk.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=DESK)


def receipt() -> Drawn:
    """A till receipt in Chinese and English, with prices that add up."""
    sheet = Sheet(560, 1010, "#fdfdfb")
    left, right, middle = 44, 516, 280
    sheet.write(middle, 84, "云杉茶铺", 46, align="m", bold=True)
    sheet.write(middle, 124, "SPRUCE TEA HOUSE", 22, align="m")
    sheet.write(middle, 164, "松林路88号", 20, align="m", ink=GREY)
    sheet.write(middle, 194, "Tel 555-0142", 20, align="m", ink=GREY)
    sheet.rule(220, left=left, right=right, dash=6)
    sheet.write(left, 256, "2026-03-14", 20)
    sheet.write(right, 256, "15:26", 20, align="r")
    sheet.write(left, 288, "No.20260314-0726", 20)
    sheet.write(right, 288, "收银员：小林", 20, align="r")
    sheet.rule(310, left=left, right=right, dash=6)
    for x, title, align in ((left, "品名", "l"), (362, "数量", "m"), (right, "金额", "r")):
        sheet.write(x, 346, title, 20, ink=GREY, align=align)

    articles = (
        ("龙井绿茶", "Green Tea", 2, 1800),
        ("桂花乌龙", "Osmanthus Oolong", 1, 2250),
        ("菊花清茶", "Chrysanthemum Tea", 3, 1680),
        ("红豆糕点", "Red Bean Cake", 4, 925),
    )
    for row, (chinese_name, english_name, count, cents) in enumerate(articles):
        y = 394 + row * 72
        sheet.write(left, y, chinese_name, 24)
        sheet.write(362, y, str(count), 24, align="m")
        sheet.write(right, y, f"{count * cents / 100:.2f}", 24, align="r")
        sheet.write(left, y + 27, english_name, 18, ink=GREY)

    total = sum(count * cents for *_, count, cents in articles)
    sheet.rule(674, left=left, right=right, dash=6)
    sheet.write(left, 722, "合计 TOTAL", 30, bold=True)
    sheet.write(right, 722, f"¥{total / 100:.2f}", 30, align="r", bold=True)
    for y, name, cents in ((766, "现金 Cash", 20000), (800, "找零 Change", 20000 - total)):
        sheet.write(left, y, name, 20)
        sheet.write(right, y, f"{cents / 100:.2f}", 20, align="r")
    sheet.rule(826, left=left, right=right, dash=6)
    sheet.write(middle, 872, "谢谢惠顾，欢迎再来！", 22, align="m")
    sheet.write(middle, 906, "Thank you, see you again!", 20, align="m", ink=GREY)
    for stripe in range(0, 236, 4):  # a bar code that says nothing
        x = 162 + stripe
        sheet.pen.rectangle((x, 934, x + (stripe * 7 + stripe // 12) % 3, 976), INK)
    paper = sheet.drawn("receipt.png")
    return Drawn(paper.name, on_desk(paper.image, 40), paper.lines)


def id_card() -> Drawn:
    """A specimen of an identity card, of a country that does not exist."""
    sheet = Sheet(860, 540, "#e9f1f2")
    for x in range(-540, 860, 14):  # the fine lines that such cards have
        sheet.pen.line((x, 540, x + 540, 0), "#e1ebed", 2)
    sheet.pen.rectangle((0, 0, 860, 92), BLUE)
    sheet.write(40, 62, "云杉国居民证", 38, ink="white", bold=True)
    sheet.write(820, 60, "REPUBLIC OF SPRUCE", 24, ink="white", align="r")
    sheet.pen.rectangle((40, 132, 270, 420), "#cfdde1")
    sheet.pen.rounded_rectangle((112, 176, 198, 290), 40, "#4d5c66")  # hair
    sheet.pen.rectangle((137, 270, 173, 332), "#e3c9b0")
    sheet.pen.ellipse((118, 192, 192, 296), "#ecd5bf")
    sheet.pen.pieslice((58, 330, 252, 510), 180, 360, "#8fa6b0")
    fields = (
        ("姓名 Name", "张三 ZHANG SAN"),
        ("出生 Born", "1990-02-29"),  # a day that never was
        ("住址 Address", "松林路88号3单元"),
        ("有效期 Valid until", "2036-06-15"),
    )
    for row, (title, value) in enumerate(fields):
        sheet.write(310, 156 + row * 74, title, 18, ink=BLUE)
        sheet.write(310, 188 + row * 74, value, 27)
    sheet.write(40, 490, "SP-7724-9368-45", 34, bold=True)
    sheet.pen.rounded_rectangle((556, 448, 820, 508), 8, outline=RED, width=3)
    sheet.write(688, 490, "样本 SPECIMEN", 30, ink=RED, align="m")
    return sheet.drawn("id_card.png")


def chinese() -> Drawn:
    """A notice of a library, in Chinese alone."""
    sheet = Sheet(900, 700)
    sheet.write(450, 90, "关于图书馆开放时间的通知", 40, align="m", bold=True)
    sheet.rule(118, left=105, right=795, ink=RED)
    body = (
        (0, "各位读者："),
        (60, "为了方便大家在春天读书，云杉图书馆从四月起"),
        (0, "延长开放时间。周一到周五早上八点开门，晚上九点"),
        (0, "关门；周六和周日早上九点开门，下午六点关门。"),
        (60, "三楼新设儿童阅览室，欢迎家长带孩子前来。借"),
        (0, "书请带好借书证，每人每次最多可借十本，三十天内"),
        (0, "归还。如有问题，请到一楼服务台询问。"),
    )
    for row, (indent, text) in enumerate(body):
        sheet.write(105 + indent, 180 + row * 56, text, 30)
    sheet.write(795, 590, "云杉图书馆", 30, align="r")
    sheet.write(795, 642, "二〇二六年三月十四日", 30, align="r")
    return sheet.drawn("chinese.png")


def mixed() -> Drawn:
    """A parcel label: Chinese, English, digits and punctuation side by side, in several sizes."""
    sheet = Sheet(800, 620)
    sheet.pen.rectangle((20, 20, 779, 599), outline=INK, width=3)
    sheet.write(50, 84, "云杉快递", 42, bold=True)
    sheet.write(750, 82, "SPRUCE EXPRESS", 28, align="r")
    sheet.rule(112, left=20, right=779, ink=INK)
    sheet.write(50, 160, "收件人", 20, ink=GREY)
    sheet.write(50, 204, "李四 Mr. Sample", 30)
    sheet.write(50, 250, "松林路88号, Spruce City 100088", 30)
    sheet.write(50, 292, "电话 555-0142", 26)
    sheet.rule(322, left=20, right=779, dash=8)
    sheet.write(50, 366, "货物", 20, ink=GREY)
    sheet.write(50, 410, "USB-C 数据线, 2.5 m, 3 pcs", 28)
    sheet.write(50, 456, "重量 0.75 kg", 28)
    sheet.write(750, 456, "保价 CNY 259.00", 28, align="r")
    sheet.rule(486, left=20, right=779, ink=INK)
    sheet.write(400, 556, "SPX 7842 3695 2476", 46, align="m", bold=True)
    return sheet.drawn("mixed.png")


def digits() -> Drawn:
    """A table of meter readings: numbers alone, as a caller would want them, to the digit."""
    sheet = Sheet(760, 560, "#fbfbf7")
    columns = (60, 450, 700)
    rows = (
        ("2026-01-31", "48,207", "13.65"),
        ("2026-02-28", "49,318", "12.94"),
        ("2026-03-31", "50,476", "14.28"),
        ("2026-04-30", "51,593", "13.07"),
        ("2026-05-31", "52,864", "15.82"),
        ("2026-06-30", "54,139", "16.40"),
    )
    sheet.pen.rectangle((40, 40, 720, 104), "#dde6dc")
    for x, title, align in zip(columns, ("Date", "Reading", "Price"), "lrr", strict=True):
        sheet.write(x, 82, title, 26, bold=True, align=align)
    for row, values in enumerate(rows):
        y = 154 + row * 68
        for x, value, align in zip(columns, values, "lrr", strict=True):
            sheet.write(x, y, value, 30, align=align)
        sheet.rule(y + 22, left=40, right=720, ink="#d5d5ce")
    return sheet.drawn("digits.png")


def letter() -> Drawn:
    """A short letter in English; a JPEG, as photographs are."""
    sheet = Sheet(860, 900)
    sheet.write(80, 110, "Spruce Tea House", 36, bold=True, ink=BLUE)
    sheet.write(780, 108, "88 Pine Road, Spruce City", 20, align="r", ink=GREY)
    sheet.rule(134, left=80, right=780, ink=BLUE)
    sheet.write(780, 200, "14 March 2026", 24, align="r")
    body = """
        Dear Ms. Sample,

        Thank you for your order of two boxes of green tea.
        We packed them today and gave them to the courier.
        The parcel should reach you before the weekend.

        Please keep the tea in a cool and dry place, away from
        strong smells. Use water of about 80 degrees, and do
        not let the leaves stand for more than two minutes.

        With kind regards,

        Anna Example
    """
    sheet.block(80, 270, body, 26, leading=42)
    sheet.write(80, 806, "Head of Sales", 20, ink=GREY)
    return sheet.drawn("letter.jpg")


def rotated() -> Drawn:
    """A note on a table, photographed askew: turned by four degrees against the clock."""
    sheet = Sheet(640, 420, "#fffef6")
    for y in range(118, 400, 60):
        sheet.pen.line((0, y, 640, y), "#d6e4ee", 2)
    sheet.write(60, 96, "Shopping list", 38, bold=True, ink=BLUE)
    items = """
        牛奶两瓶，鸡蛋十个
        Bread and butter
        西红柿、土豆和青菜
        Call Anna at half past six
    """
    sheet.block(60, 164, items, 30, leading=60)
    note = sheet.drawn("rotated.png")
    return Drawn(note.name, on_desk(note.image, 60, angle=4), note.lines)


def tall() -> Drawn:
    """Books on a shelf: each title runs down its spine, so that it is a tall box of turned text.

    The lines go along the shelf, from the left. Taken for a page on its side, it would begin at the right.
    """
    books = (
        ("A Short History of Tea", "#7a2e2a", 96),
        ("云杉城市地图", BLUE, 84),
        ("Garden Birds", "#3c6246", 72),
        ("家常菜谱大全", "#8a6420", 90),
        ("The Quiet Harbour", "#4a3a5e", 84),
    )
    shelf = Sheet(40 + sum(width + 6 for *_, width in books) + 34, 640, "#efe6d8")
    x = 40
    for title, colour, width in books:
        spine = Sheet(540, width, colour)
        spine.pen.rectangle((18, 0, 24, width), "#e7d9b4")
        spine.pen.rectangle((515, 0, 521, width), "#e7d9b4")
        spine.write(270, width // 2 + 13, title, 36, ink="white", align="m")
        shelf.image.paste(spine.image.transpose(Image.Transpose.ROTATE_270), (x, 60))
        shelf.lines += spine.lines
        x += width + 6
    shelf.pen.rectangle((0, 600, shelf.image.width, 640), "#8b6b4a")
    return shelf.drawn("tall.png")


def upside_down() -> Drawn:
    """A sign scanned the wrong way round. The lines are in the order of one who turns it first."""
    sheet = Sheet(720, 400, "#fdf6e3")
    sheet.pen.rectangle((16, 16, 703, 383), outline=RED, width=4)
    sheet.write(360, 110, "小心地滑", 64, align="m", ink=RED, bold=True)
    sheet.write(360, 190, "CAUTION: WET FLOOR", 44, align="m", bold=True)
    sheet.write(360, 270, "Please use the other entrance", 32, align="m")
    sheet.write(360, 330, "请走东侧大门", 32, align="m")
    sign = sheet.drawn("upside_down.png")
    return Drawn(sign.name, sign.image.transpose(Image.Transpose.ROTATE_180), sign.lines)


def two_columns() -> Drawn:
    """A news sheet: a headline, then the left column down to its end, then the right one."""
    sheet = Sheet(1000, 640)
    sheet.write(500, 84, "The Spruce City Weekly", 46, align="m", bold=True)
    sheet.rule(112, left=50, right=950, ink=INK)
    left = """
        The new bridge across the
        river will open on Sunday.
        More than two thousand
        people helped to pay for it.
        The mayor will walk across
        first, then the school band.
        Cars have to wait until the
        end of the month.
    """
    right = """
        今年春天的雨水比往年多，
        山上的茶园因此长得很好。
        茶农说，第一批新茶下周
        就可以送到城里的商店。
        价格和去年差不多，请大
        家放心购买。周末还有茶
        会，欢迎带上家人一起来
        品尝。
    """
    sheet.block(50, 176, left, 30, leading=56)
    sheet.block(540, 176, right, 30, leading=56)
    sheet.pen.line((505, 140, 505, 590), "#c8c8c8", 2)
    return sheet.drawn("two_columns.png")


def numbered(n: int) -> Drawn:
    """A small ticket whose one line no other n has, quick to draw and to read.

    n is written to base eight in the digits 2 to 9, as 0 and 1 are easily taken for letters.
    """
    number = f"{n + 0o1000:o}".translate(str.maketrans("01234567", "23456789"))
    sheet = Sheet(320, 80)
    sheet.write(160, 53, f"T-{number}", 36, align="m")
    return sheet.drawn(f"numbered-{n}.png")


SAMPLES: tuple[Callable[[], Drawn], ...] = (
    receipt, id_card, chinese, mixed, digits, letter, rotated, tall, upside_down, two_columns,
)  # fmt: skip


def save(drawn: Drawn, directory: Path) -> None:
    path = directory / drawn.name
    if path.suffix == ".jpg":
        drawn.image.save(path, quality=85)
    else:  # a palette makes the file a third as large, and no eye sees it
        drawn.image.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the sample pictures and their labels.json.")
    parser.add_argument("directory", nargs="?", type=Path, default=HERE, help="default: %(default)s")
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    pictures = [draw() for draw in SAMPLES]
    for picture in pictures:
        save(picture, directory)
    labels = {picture.name: picture.lines for picture in pictures}
    text = json.dumps(labels, ensure_ascii=False, indent=2)
    (directory / "labels.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
