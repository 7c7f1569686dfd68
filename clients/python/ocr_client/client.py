"""The synchronous and the asynchronous client, which follow the same conversation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from typing import Any, ClassVar, Generic, Self, TypeVar, Unpack

import httpx2

from ocr_client import batch
from ocr_client.answer import Result
from ocr_client.batch import Outcome
from ocr_client.conversation import Conversation, Reply, Send, conversation
from ocr_client.request import Caller, Options, Picture

PATIENCE_S = 60.0
# Longer than the maximum timeout_ms, so that the service responds first.
TIMEOUT = httpx2.Timeout(10, read=75)
# Shorter than the keep-alive of service and Nginx: a request on a connection being closed would be lost.
LIMITS = httpx2.Limits(keepalive_expiry=2.0)
CONCURRENCY = 4


Http = TypeVar("Http", httpx2.Client, httpx2.AsyncClient)


class _Calls(Generic[Http]):
    _new_http: ClassVar[Callable[..., Any]]

    def __init__(
        self, url: str, user: str, secret: str, *, patience_s: float = PATIENCE_S, http: Http | None = None
    ) -> None:
        self._url = url
        self._caller = Caller(user, secret)
        self._patience_s = patience_s
        self._http: Http = http or self._new_http(timeout=TIMEOUT, limits=LIMITS)
        self._owned = http is None

    def _conversation(self, picture: Picture, options: Options) -> Conversation:
        return conversation(partial(self._caller.request, picture, options), self._patience_s)


class Client(_Calls[httpx2.Client]):
    """Reads pictures. Thread-safe.

    url: of the service, ending in `/ocr`. patience_s: maximum total wait per picture, in seconds, while the
    service is busy or unreachable; 0 disables retries. http: your own client, for example for a proxy or a
    private CA; you close it.
    """

    _new_http = httpx2.Client

    def read(self, picture: Picture, **options: Unpack[Options]) -> Result:
        """Read one picture: a URL, a pathlib.Path or bytes. Raises OcrError, OSError, ValueError."""
        steps = self._conversation(picture, options)
        reply: Reply = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            reply = None
            if isinstance(step, Send):
                reply = self._post(step)
            else:
                time.sleep(step.seconds)

    def read_many(
        self,
        pictures: Iterable[Picture],
        *,
        concurrency: int = CONCURRENCY,
        progress: bool = False,
        **options: Unpack[Options],
    ) -> Iterator[Outcome]:
        """Yield the outcome of each picture, in order. progress: show a progress bar on standard error.

        An error that affects all pictures (wrong secret, no quota, service unreachable) ends the batch: no
        further picture is sent, the outcomes of started pictures are yielded, then the error is raised.
        """
        return batch.in_threads(
            lambda picture: self.read(picture, **options), pictures, concurrency, progress=progress
        )

    def _post(self, step: Send) -> Reply:
        try:
            return self._http.post(self._url, **step.body)
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            return error

    def close(self) -> None:
        if self._owned:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Calls[httpx2.AsyncClient]):
    """Client for asyncio, with the arguments of Client."""

    _new_http = httpx2.AsyncClient

    async def read(self, picture: Picture, **options: Unpack[Options]) -> Result:
        """Like Client.read."""
        steps = self._conversation(picture, options)
        reply: Reply = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            reply = None
            if isinstance(step, Send):
                reply = await self._post(step)
            else:
                await asyncio.sleep(step.seconds)

    def read_many(
        self,
        pictures: Iterable[Picture],
        *,
        concurrency: int = CONCURRENCY,
        progress: bool = False,
        **options: Unpack[Options],
    ) -> AsyncIterator[Outcome]:
        """Like Client.read_many."""
        return batch.on_a_loop(
            lambda picture: self.read(picture, **options), pictures, concurrency, progress=progress
        )

    async def _post(self, step: Send) -> Reply:
        try:
            return await self._http.post(self._url, **step.body)
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            return error

    async def close(self) -> None:
        if self._owned:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
