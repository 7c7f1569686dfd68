"""The story of a request, on one page: authenticate, reserve, admit, fetch, read, record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.authenticate import nonce_ttl_s
from app.errors import DependencyUnavailable, OcrFailed, ServiceError
from app.model.claim import OcrRequest
from app.model.reading import Elapsed, OcrAnswer, ReadResult
from app.model.usage import RECOGNISED, UsageRecord
from app.ports import Admission, Clock, Fetcher, Offload, UsageLog
from app.service.caller import CallerCheck

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class OcrService:
    caller: CallerCheck
    admission: Admission
    usage: UsageLog
    fetcher: Fetcher
    offload: Offload
    clock: Clock

    def handle(self, request: OcrRequest) -> OcrAnswer:
        """Read the picture of a signed request; only a picture that was read is charged.

        Raises ServiceError. Until the signature has proven the caller nothing is stored, and an overload
        answer comes before the nonce is spent, so that the same body can be sent again.
        """
        started = self.clock.monotonic()
        now = self.clock.now()
        ttl = nonce_ttl_s(request, now=now, policy=self.caller.policy)
        with self.caller.proven(request, now=now) as account:
            request.proven()
            with self.offload.reserve(request.deadline, request.gone, request.username) as place:
                quota = self.admission.admit(account, request, nonce_ttl_s=ttl)
                with self._failure_recorded(request, started):
                    data, fetch_ms = self._picture(request)
                    reading, queue_ms = place.read(data, request.options)
                elapsed = Elapsed(
                    queue_ms, fetch_ms, reading.decode_ms, reading.ocr_ms, self._ms_since(started)
                )
                self.usage.finish(_success(request, reading, elapsed))
        return OcrAnswer(request.request_id, reading, elapsed, quota, request.options.boxes)

    def _picture(self, request: OcrRequest) -> tuple[bytes, int]:
        if request.picture is not None:
            return request.picture(), 0
        started = self.clock.monotonic()
        url = request.picture_url or ""
        data = self.fetcher.fetch(url, username=request.username, deadline=request.deadline)
        return data, self._ms_since(started)

    @contextmanager
    def _failure_recorded(self, request: OcrRequest, started: float) -> Iterator[None]:
        """Whatever ends an admitted request is written down and gives its quota back, even the worker's end.

        A store that is down must not hide the first error; it closes the record later on its own.
        """
        try:
            yield
        except BaseException as error:
            code = error.status_code if isinstance(error, ServiceError) else OcrFailed.status_code
            elapsed = Elapsed(total=self._ms_since(started))
            with suppress(DependencyUnavailable):
                self.usage.finish(UsageRecord(request.request_id, request.username, code, elapsed))
            raise

    def _ms_since(self, started: float) -> int:
        return round((self.clock.monotonic() - started) * 1000)


def _success(request: OcrRequest, reading: ReadResult, elapsed: Elapsed) -> UsageRecord:
    lines = reading.page.lines
    return UsageRecord(
        request_id=request.request_id,
        username=request.username,
        status_code=RECOGNISED,
        elapsed=elapsed,
        picture=reading.picture,
        lines=len(lines),
        characters=sum(len(line.text) for line in lines),
        text=reading.page.text,
    )
