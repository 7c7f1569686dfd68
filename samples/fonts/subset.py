"""Cut the font of the sample pictures out of Noto Sans CJK SC: `python samples/fonts/subset.py`.

Needs fonttools and the Debian package fonts-noto-cjk. The full font has 65,535 glyphs and would weigh
more than the rest of this repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTCollection, TTFont

SOURCE = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
TARGET = Path(__file__).with_name("NotoSansSC-subset.otf")
FAMILY = "Noto Sans CJK SC"


def gb2312_level_1() -> Iterator[int]:
    """The 3,755 commonest characters: rows 16 to 55 of the standard, the last one shorter by five."""
    for row in range(16, 56):
        for cell in range(1, 90 if row == 55 else 95):
            yield ord(bytes((row + 0xA0, cell + 0xA0)).decode("gb2312"))


def wanted() -> set[int]:
    blocks = (
        range(0x20, 0x7F),  # ASCII
        range(0xA0, 0x100),  # Latin-1
        range(0x2010, 0x2028),  # dashes, quotation marks, dagger, bullet, ellipsis
        range(0x20A0, 0x20C0),  # currency signs
        range(0x3000, 0x3012),  # CJK punctuation
        range(0xFF01, 0xFF5F),  # full-width ASCII
        range(0xFFE0, 0xFFE6),  # full-width currency signs
        map(ord, "№℃™←↑→↓×÷≈≠≤≥■□▲△◆◇○●★☆✓"),
        gb2312_level_1(),
    )
    return {code for block in blocks for code in block}


def rename(font: TTFont) -> None:
    """Call the subset by a name of its own, so that a machine with the whole font does not mix them up."""
    names = font["name"]
    for record in names.names:
        if record.nameID in (1, 4):
            record.string = f"{FAMILY} Subset"
        elif record.nameID == 6:
            record.string = "NotoSansCJKsc-Subset"
        elif record.nameID == 3:
            record.string = f"{record.toUnicode()};subset"
    font["CFF "].cff.fontNames[0] = "NotoSansCJKsc-Subset"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=SOURCE, help="default: %(default)s")
    parser.add_argument("--target", type=Path, default=TARGET, help="default: %(default)s")
    arguments = parser.parse_args()

    fonts = TTCollection(arguments.source).fonts
    font = next(font for font in fonts if font["name"].getDebugName(1) == FAMILY)
    options = Options(layout_features=[], hinting=False, notdef_outline=True)
    options.name_IDs = ["*"]  # the copyright and the licence travel inside the file
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=wanted())
    subsetter.subset(font)
    rename(font)
    font["head"].modified = font["head"].created  # the same bytes on each run
    font.recalcTimestamp = False
    font.save(arguments.target)


if __name__ == "__main__":
    main()
