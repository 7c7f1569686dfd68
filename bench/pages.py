"""Drawn pages of known text to measure accuracy: Chinese, English, digits, and a mixture.

Page n of a kind is the same on every machine, and no two pages have the same text.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench import words
from samples.draw import Sheet, font

if TYPE_CHECKING:
    from app.ports import Image

WIDTH, MARGIN, LINES = 880, 50, 9
SIZES = (22, 26, 30, 34)  # of the letters, in pixels
CHINESE_CLAUSES, CHINESE_ENDINGS = words.CHINESE_CLAUSES.split(), words.CHINESE_ENDINGS.split()
PAPERS = ("white", "#fdfdfb", "#f4f1e8", "#e9f1f2")
INKS = ("#1c1c1e", "#1f4e79", "#55565a", "#333333")


@dataclass(frozen=True, eq=False)
class DrawnPage:
    """image: uint8 [height, width, 3], BGR. lines: its text, from the top to the bottom."""

    kind: str
    number: int
    image: Image
    lines: tuple[str, ...]


def page(kind: str, number: int) -> DrawnPage:
    chance = random.Random(f"{kind}-{number}")  # noqa: S311  the same on every machine, and no secret
    lines: list[str] = []
    while len(lines) < LINES:
        line = KINDS[kind](chance)
        if line not in lines:
            lines.append(line)
    paper, ink = chance.choice(PAPERS), chance.choice(INKS)
    sizes = [_fitting(line, chance.choice(SIZES)) for line in lines]
    sheet = Sheet(WIDTH, 2 * MARGIN + sum(size * 2 for size in sizes), paper)
    y = MARGIN
    for line, size in zip(lines, sizes, strict=True):
        y += size * 2
        sheet.write(MARGIN, y - size // 2, line, size, ink=ink)
    return DrawnPage(kind, number, np.ascontiguousarray(np.asarray(sheet.image)[:, :, ::-1]), tuple(lines))


def _fitting(line: str, size: int) -> int:
    """The size, reduced if the line would not fit the paper."""
    return min(size, int(size * (WIDTH - 2 * MARGIN) / font(size).getlength(line)))


def _chinese(chance: random.Random) -> str:
    ending = chance.choice(CHINESE_ENDINGS + CHINESE_CLAUSES)
    return f"{chance.choice(CHINESE_CLAUSES)}，{ending}。"


def _english(chance: random.Random) -> str:
    return f"{chance.choice(words.ENGLISH_STARTS)} {chance.choice(words.ENGLISH_ENDINGS)}."


def _digits(chance: random.Random) -> str:
    def number(digits: int) -> str:
        return f"{chance.randrange(10 ** (digits - 1), 10**digits)}"

    date = f"{chance.randint(1990, 2039)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
    time = f"{chance.randint(0, 23):02d}:{chance.randint(0, 59):02d}"
    amount, rate = f"{chance.randint(1000, 999_999):,}.{number(2)}", f"{number(2)}.{number(1)}%"
    return chance.choice(
        (
            f"{date} {time} {amount}",
            f"{number(4)} {number(4)} {number(4)} {number(4)}",
            f"+{number(2)} {number(3)} {number(4)} {number(4)}",
            f"{amount} {rate} {number(3)}.{number(2)}",
            f"{date} {number(8)}",
            f"{number(2)} {number(3)} {number(3)}.{number(2)} {time}",
        )
    )


def _mixed(chance: random.Random) -> str:
    number = f"{chance.randrange(1000, 100_000)}"
    price = f"{chance.randint(1, 999)}.{chance.randint(10, 99)}"
    label, name = chance.choice(words.MIXED_LABELS), chance.choice(words.MIXED_NAMES)
    return chance.choice(
        (
            f"{label}: {chance.choice(words.ENGLISH_NAMES)} {number}号",
            f"{name}, {chance.randint(2, 48)} pcs, ¥{price}",
            f"{chance.choice(CHINESE_CLAUSES)} (No. {number})",
            f"{label}: SPX-{number}, {chance.choice(CHINESE_ENDINGS)}",
            f"{name} {price} kg, {chance.choice(words.ENGLISH_ENDINGS)}",
        )
    )


KINDS: dict[str, Callable[[random.Random], str]] = {
    "Chinese": _chinese,
    "English": _english,
    "digits": _digits,
    "mixed": _mixed,
}
