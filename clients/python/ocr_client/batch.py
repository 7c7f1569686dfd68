"""Read many pictures concurrently, with results in order; with threads and with asyncio."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ocr_client.answer import Result
from ocr_client.errors import OcrError
from ocr_client.request import Picture

Job = TypeVar("Job")

# Pictures submitted ahead of the oldest unfinished one, as a multiple of the concurrency.
AHEAD = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result or the error of a picture. OSError: unreadable file. ValueError: invalid URL."""

    picture: Picture
    result: Result | None = None
    error: OcrError | OSError | ValueError | None = None


class _Batch:
    """error: the error that ended the batch, if any."""

    def __init__(self) -> None:
        self.error: OcrError | None = None

    def failed(self, picture: Picture, error: OcrError | OSError | ValueError) -> Outcome | None:
        if isinstance(error, OcrError) and error.holds_for_all:
            self.error = self.error or error
            return None
        return Outcome(picture, error=error)

    def in_order(
        self, pictures: Iterable[Picture], begin: Callable[[Picture], Job], ahead: int
    ) -> Iterator[Job]:
        """Begin at most `ahead` pictures before yielding the first job; yields the jobs in order."""
        started: deque[Job] = deque()
        for picture in pictures:
            if self.error is not None:
                break
            started.append(begin(picture))
            if len(started) == ahead:
                yield started.popleft()
        yield from started


def in_threads(
    read: Callable[[Picture], Result], pictures: Iterable[Picture], concurrency: int, *, progress: bool
) -> Iterator[Outcome]:
    batch = _Batch()

    def one(picture: Picture) -> Outcome | None:
        if batch.error is not None:
            return None
        try:
            return Outcome(picture, read(picture))
        except (OcrError, OSError, ValueError) as error:
            return batch.failed(picture, error)

    pool = ThreadPoolExecutor(concurrency)
    try:
        with _bar(pictures, progress) as bar:
            for job in batch.in_order(
                pictures, lambda picture: pool.submit(one, picture), concurrency * AHEAD
            ):
                if (outcome := job.result()) is not None:
                    bar.update(1)
                    yield outcome
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if batch.error is not None:
        raise batch.error


async def on_a_loop(
    read: Callable[[Picture], Awaitable[Result]],
    pictures: Iterable[Picture],
    concurrency: int,
    *,
    progress: bool,
) -> AsyncIterator[Outcome]:
    batch = _Batch()
    room = asyncio.Semaphore(concurrency)
    jobs: list[asyncio.Task[Outcome | None]] = []

    async def one(picture: Picture) -> Outcome | None:
        async with room:
            if batch.error is not None:
                return None
            try:
                return Outcome(picture, await read(picture))
            except (OcrError, OSError, ValueError) as error:
                return batch.failed(picture, error)

    def begin(picture: Picture) -> asyncio.Task[Outcome | None]:
        jobs[:] = [job for job in jobs if not job.done()]
        jobs.append(asyncio.create_task(one(picture)))
        return jobs[-1]

    try:
        with _bar(pictures, progress) as bar:
            for job in batch.in_order(pictures, begin, concurrency * AHEAD):
                if (outcome := await job) is not None:
                    bar.update(1)
                    yield outcome
    finally:
        _cancel(jobs)
    if batch.error is not None:
        raise batch.error


def _cancel(jobs: Iterable[asyncio.Task[Outcome | None]]) -> None:
    for job in jobs:
        job.cancel()


def _bar(pictures: Iterable[Picture], progress: bool) -> Any:
    return click.progressbar(pictures, label="Reading", file=sys.stderr, hidden=not progress)
