"""Pictures of all sizes for the soak: parts of the given pages, scaled as the pictures of a real service are.

Picture n of a seed is always the same, whoever asks for it and in which order.
"""

from __future__ import annotations

import io
import math
import os
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

SEED = 20261120
SIZES = (  # share of the pictures; megapixels, from and to
    (0.45, 0.03, 0.4),  # parts of a screen
    (0.37, 0.4, 2.5),  # whole screens, scanned receipts
    (0.16, 2.5, 12.0),  # photographs
    (0.02, 12.0, 40.0),  # large scans, up to what the service accepts
)
SCREENS_BELOW = 0.4  # megapixels; these are PNG, the others JPEG


def mixed_sizes(pages: Mapping[str, bytes], count: int) -> dict[str, bytes]:
    """count pictures: name -> file."""
    originals = [Image.open(io.BytesIO(data)).convert("RGB") for data in pages.values()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow releases the interpreter's lock while it works
        drawn = pool.map(lambda number: picture(originals, number), range(count))
        return {f"{number:03d}.{kind}": data for number, (kind, data) in enumerate(drawn)}


def picture(originals: list[Image.Image], number: int) -> tuple[str, bytes]:
    """The format of picture `number`, and its bytes."""
    chance = random.Random(f"{SEED}-{number}")  # noqa: S311  the same on every machine, and no secret
    original = chance.choice(originals)
    wide, high = original.width * chance.uniform(0.5, 1), original.height * chance.uniform(0.5, 1)
    left, top = chance.uniform(0, original.width - wide), chance.uniform(0, original.height - high)
    megapixels = _megapixels(chance)
    scale = math.sqrt(megapixels * 1e6 / (wide * high))
    size = (int(wide * scale), int(high * scale))
    part = original.resize(size, Image.Resampling.BILINEAR, (left, top, left + wide, top + high))
    out = io.BytesIO()
    kind = "png" if megapixels < SCREENS_BELOW else "jpeg"
    part.save(out, kind, **({"compress_level": 1} if kind == "png" else {"quality": chance.randint(60, 90)}))
    return kind, out.getvalue()


def _megapixels(chance: random.Random) -> float:
    """Log-uniform within a class: small pictures are more frequent."""
    [(_, least, most)] = chance.choices(SIZES, [share for share, *_ in SIZES])
    return math.exp(chance.uniform(math.log(least), math.log(most)))
