"""Memory over many pictures of mixed sizes: does it keep growing?"""

from __future__ import annotations

import itertools
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from app.model.claim import Value
from bench.contenders import make
from bench.mixture import mixed_sizes
from bench.pictures import Pages, hosted
from bench.progress import say
from bench.servers import Answer, Picture, running

CLIENTS = 4
SETTLING = 0.4  # share of the pictures before growth counts: it counts over the last 300 of 500
WINDOW = 0.1  # share of the pictures; one sample may fall into the decoding of a large picture
REPORT_EVERY = 100
CHART_POINTS = 250

Samples = Sequence[tuple[float, float]]
"""Pictures answered so far, and megabytes at that moment."""


def soak(pages: Pages, *, count: int, options: Mapping[str, Value]) -> dict[str, Any]:
    """Send `count` pictures of mixed sizes, made of these pages, and report the whole service's memory."""
    say(f"Soak: making {count} pictures of mixed sizes ...")
    mixed = mixed_sizes(pages, count)
    answered_at: list[float] = []
    numbers = itertools.count(1)
    with hosted(mixed) as (port, pictures), tempfile.TemporaryDirectory() as home:
        server = make("ours", Path(home), port, options)
        with running(server) as watch, ThreadPoolExecutor(CLIENTS) as pool:

            def read(picture: Picture) -> Answer:
                answer = server.read(picture)
                answered_at.append(time.monotonic())
                if (number := next(numbers)) % REPORT_EVERY == 0:
                    say(f"  {number} of {count} pictures, {watch.samples[-1][1]:.0f} MB")
                return answer

            started = time.monotonic()
            answers = list(pool.map(read, pictures))
            took = time.monotonic() - started
        restarts = len(watch.newcomers)
    samples = [(bisect_right(answered_at, when), mb) for when, mb in watch.samples if when >= started]
    sizes = [answer.body["picture"]["width"] * answer.body["picture"]["height"] / 1e6 for answer in answers]
    return figures(samples, count) | {
        "pictures": count,
        "clients": CLIENTS,
        "pictures_per_s": round(count / took, 2),
        "megapixels": {"median": round(median(sizes), 2), "largest": round(max(sizes), 1)},
        "formats": dict(Counter(answer.body["picture"]["format"] for answer in answers)),
        "restarts": restarts,
        "busy_answers": sum(answer.busy for answer in answers),
        "memory_mb": [(number, round(mb)) for number, mb in samples[:: len(samples) // CHART_POINTS + 1]],
    }


def figures(samples: Samples, count: int) -> dict[str, Any]:
    """Medians of two windows of a tenth of the pictures: around the end of settling, and at the end."""
    settled = _window(samples, count * (SETTLING - WINDOW / 2), count * (SETTLING + WINDOW / 2))
    end = _window(samples, count * (1 - WINDOW), count)
    return {
        "settled_mb": round(settled),
        "end_mb": round(end),
        "peak_mb": round(max(mb for _, mb in samples)),
        "growth": round(end / settled - 1, 4),
        "growth_over": round(count * (1 - SETTLING)),
    }


def _window(samples: Samples, since: float, until: float) -> float:
    """The median of the samples between two picture counts; of all samples if there are none between."""
    return median([mb for number, mb in samples if since <= number <= until] or [mb for _, mb in samples])
