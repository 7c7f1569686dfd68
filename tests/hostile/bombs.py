"""Pictures that would cost minutes or gigabytes, drawn with other parameters each time.

Some are known to the header checks. The rest are not, and meet the budget of the decode host alone.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator

from PIL import Image

from tests.hostile.crafted import LIMIT, Tags, chunk, more_scans, tiff
from tests.hostile.pictures import READ, TOO_LARGE, UNSUPPORTED, Case, saved

REFUSED = frozenset({TOO_LARGE, UNSUPPORTED})
ANY = REFUSED | {READ}
MAX_SIDE = 20_000
MAX_PIXELS = 40_000_000


def drawn(of_each: int, seed: int | None = None) -> Iterator[Case]:
    """So many of each kind. seed: printed in each name, so that a failure can be drawn again."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    dice = random.Random(seed)  # noqa: S311
    for draw in KINDS:
        for n in range(of_each):
            case = draw(dice)
            yield Case(f"{case.name} ({seed}, {n})", case.data, case.codes)


def one_strip_again_and_again(dice: random.Random) -> Case:
    """Raw, so that Pillow reads each in Python, or deflated and far larger than its rows."""
    width, rows = dice.randint(500, MAX_SIDE), dice.randint(1, 4)
    height = min(MAX_SIDE, MAX_PIXELS // width)
    deflated = dice.random() < 0.5
    strip = zlib.compress(bytes(dice.randint(10**6, 10**8))) if deflated else bytes(width * rows)
    count = -(-height // rows) * dice.choice((1, 1, 2, 30))
    tags: Tags = {258: (8,), 259: (8 if deflated else 1,), 262: (1,), 277: (1,), 278: (rows,)}
    tags |= {273: (8,) * count, 279: (len(strip),) * count}
    codes = ANY if len(strip) < 100_000 else REFUSED
    return Case(f"TIFF of one strip {count} times", tiff((width, height), strip, tags), codes)


def tiny_tiles(dice: random.Random) -> Case:
    side, count = dice.choice((1, 2, 3, 5, 8)), dice.randint(90_000, 400_000)
    across = dice.randint(100, MAX_SIDE // side)
    size = across * side, -(-count // across) * side
    count = across * size[1] // side
    tile = bytes(side * side)
    tags = {258: (8,), 259: (1,), 262: (1,), 277: (1,), 322: (side,), 323: (side,)}
    return Case(
        f"TIFF of {count} tiles", tiff(size, tile, tags | {324: (8,) * count, 325: (1,) * count}), REFUSED
    )


def huge_tiles(dice: random.Random) -> Case:
    side, count = 16 * dice.randint(200, 2_000), dice.randint(100, 2_000)
    tile = zlib.compress(bytes(10**6))
    tags = {258: (8,), 259: (8,), 262: (1,), 277: (1,), 322: (side,), 323: (side,)}
    data = tiff((count, 1), tile, tags | {324: (8,) * count, 325: (len(tile),) * count})
    return Case(f"TIFF of {count} tiles of {side} px", data, REFUSED)


def empty_runs(dice: random.Random) -> Case:
    """Lines that end at once, or jump: Pillow fills them up by the byte."""
    width, height = dice.randint(4_000, MAX_SIDE), dice.randint(1_000, 2_000)
    jump = bytes((0, 2, dice.randint(0, 255), dice.randint(0, 255)))
    runs = dice.choice((b"\x01\x07\x00\x00", b"\x00\x00", jump)) * height
    return Case(f"BMP of {len(runs)} bytes of runs", bmp(width, height, runs, dice.choice((1, 2))), REFUSED)


def short_runs(dice: random.Random) -> Case:
    """No more pixels than its bytes allow, but each of them costs a turn of Pillow's loop."""
    width = dice.randint(1_000, 6_000)
    height = min(MAX_PIXELS // width, 9 * 10**6 // (2 * width))
    row = bytes((1, dice.randint(0, 255))) * width
    return Case("BMP of runs of one pixel", bmp(width, height, row * height, 1), ANY)


def bmp(width: int, height: int, runs: bytes, compression: int) -> bytes:
    palette = bytes(4 * (256 if compression == 1 else 16))
    head = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 8 if compression == 1 else 4, compression, len(runs), 0, 0, 0, 0
    )
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + head + palette + runs


def webp_of_nothing(dice: random.Random) -> Case:
    """A canvas of up to 16,383 x 16,383 and not one pixel."""
    width, height = (dice.randint(6_400, 16_383) for _ in range(2))
    kind = dice.choice((b"VP8 ", b"VP8L", b"VP8X"))
    if kind == b"VP8 ":
        body = b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", width, height) + dice.randbytes(30)
    elif kind == b"VP8L":
        body = b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14) + dice.randbytes(30)
    else:
        body = bytes(4) + b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    body = kind + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) % 2)
    return Case(
        f"{kind!r} of {width} x {height}",
        b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body,
        REFUSED,
    )


def many_segments(dice: random.Random) -> Case:
    """Exif that Pillow joins, or tables and Photoshop's resources that it parses."""
    marker, start = dice.choice(((0xE1, b"Exif\0\0"), (0xDB, b""), (0xED, b"Photoshop 3.0\0")))
    filling = {0xE1: dice.randbytes(64), 0xDB: bytes(65), 0xED: b"8BIM\x04\x04\0\0\0\0\0\0"}[marker]
    segment = start + filling * dice.randint(1, (65_000 - len(start)) // len(filling))
    segment = struct.pack(">BBH", 0xFF, marker, len(segment) + 2) + segment
    count = min(dice.randint(200, 1_990), (LIMIT - 10_000) // len(segment))
    plain = saved(Image.new("RGB", (64, 64)), "JPEG")
    return Case(f"JPEG of {count} segments {marker:x}", plain[:2] + segment * count + plain[2:], REFUSED)


def many_scans(dice: random.Random) -> Case:
    """As many as are allowed, over as many pixels."""
    width = dice.randint(4_000, 10_000)
    flat = Image.new("RGB", (width, MAX_PIXELS // width), dice.choice(("grey", "white")))
    scans = dice.randint(50, 100)
    return Case(
        f"JPEG of {scans} scans", more_scans(saved(flat, "JPEG", progressive=True, subsampling=0), scans), ANY
    )


def layers_of_a_png(dice: random.Random) -> Case:
    """Thousands of chunks that Pillow parses, or of frames of an animation."""
    plain = saved(Image.new("RGB", (64, 64)), "PNG")
    kind, data = dice.choice(
        (
            (b"eXIf", dice.randbytes(999)),
            (b"fcTL", bytes(26)),
            (b"tEXt", b"a\0" + bytes(900)),
            (b"sPLT", bytes(999)),
        )
    )
    count = dice.randint(5_000, 9_900)
    return Case(f"PNG of {count} {kind!r}", plain[:33] + chunk(kind, data) * count + plain[33:], ANY)


KINDS: tuple[Callable[[random.Random], Case], ...] = (
    one_strip_again_and_again,
    tiny_tiles,
    huge_tiles,
    empty_runs,
    short_runs,
    webp_of_nothing,
    many_segments,
    many_scans,
    layers_of_a_png,
)
