"""The steps to read a picture, without I/O: what to send, when to wait, when to give up.

Both clients follow them. A picture is sent again only if it was certainly not read: if the request never left
this machine, or the service refused it temporarily. If the response is lost, the picture may have been
charged, and AnswerLost is raised.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import httpx2

from ocr_client.answer import Result
from ocr_client.errors import BY_CODE, AnswerLost, NotTheService, OcrError, ServiceError, Unreachable

RECOGNISED = 6
COME_BACK = frozenset({12, 17, 18})
CONNECT_PAUSES_S = (0.5, 1.0, 2.0)
JITTER = 0.25  # so that callers refused at the same time do not return at the same time

NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)


@dataclass(frozen=True, slots=True)
class Send:
    """Post body (keywords for httpx), and reply with the response or the exception."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


Reply = httpx2.Response | httpx2.RequestError | httpx2.InvalidURL | None
Conversation = Generator[Send | Wait, Reply, Result]


def conversation(new_request: Callable[[], dict[str, Any]], patience_s: float) -> Conversation:
    """patience_s: maximum total wait, in seconds. Returns the result or raises OcrError."""
    waited = 0.0
    refused = 0
    while True:
        reply = yield Send(new_request())
        try:
            return _understood(reply)
        except OcrError as error:
            pause = _pause_s(error, refused)
            if pause is None or waited + pause > patience_s:
                raise
        refused += 1
        waited += pause
        yield Wait(pause)


def _understood(reply: Reply) -> Result:
    if isinstance(reply, NOT_SENT):
        raise Unreachable(f"The service cannot be reached: {reply}") from reply
    if not isinstance(reply, httpx2.Response):
        raise AnswerLost(
            f"The response was lost, so the picture may have been read and charged: {reply!r}"
        ) from reply
    try:
        body = reply.json()
        if body["status_code"] == RECOGNISED:
            return Result.of(body)
        kind = BY_CODE.get(body["status_code"], ServiceError)
        raise kind(body, http=reply.status_code, retry_after=_seconds(reply.headers.get("Retry-After")))
    except (ValueError, KeyError, TypeError) as error:
        raise NotTheService(reply.status_code, reply.headers.get("X-Request-ID")) from error


def _pause_s(error: OcrError, refused: int) -> float | None:
    """Seconds to wait before sending the same picture again; None if it must not be sent again."""
    if isinstance(error, Unreachable):
        return CONNECT_PAUSES_S[refused] if refused < len(CONNECT_PAUSES_S) else None
    if isinstance(error, ServiceError) and error.status_code in COME_BACK and error.retry_after is not None:
        return max(1.0, error.retry_after) * random.uniform(1, 1 + JITTER)  # noqa: S311  not a secret
    return None


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isdecimal() else None
