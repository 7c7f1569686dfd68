"""The story of a request, on one page: authenticate, reserve, admit, fetch, read, record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from app.authenticate import nonce_ttl_s
from app.errors import DependencyUnavailable, OcrFailed, ServiceError
from app.model.claim import Claim
from app.model.reading import Elapsed, OcrAnswer, ReadOrder, ReadResult
from app.model.usage import RECOGNISED, UsageRecord
from app.ports import Admission, Clock, Fetcher, Offload, PictureSource, UsageLog, not_cancelled
from app.service.caller import CallerCheck


@dataclass(frozen=True, slots=True)
class OcrService:
    caller: CallerCheck
    admission: Admission
    usage: UsageLog
    fetcher: Fetcher
    offload: Offload
    clock: Clock

    def handle(
        self,
        claim: Claim,
        order: ReadOrder,
        sent: PictureSource | None = None,
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_proven: Callable[[], None] = lambda: None,
    ) -> OcrAnswer:
        """Read the picture of a signed request; only a picture that was read is charged.

        sent: the picture, where it came with the request. cancelled: whether the caller has hung up.
        on_proven: called once the signature has proven the caller; nothing is stored before.
        Raises ServiceError. Busy comes before the nonce is spent, so that the same body can be sent again.
        """
        started, now = self.clock.monotonic(), self.clock.now()
        ttl = nonce_ttl_s(claim, now=now, policy=self.caller.policy)
        with self.caller.proven(claim, sent, now=now) as account:
            on_proven()
            with self.offload.reserve(order.deadline, cancelled, claim.username) as reservation:
                quota = self.admission.admit(account, claim, nonce_ttl_s=ttl, deadline=order.deadline)
                with self._failure_recorded(claim, started):
                    data, fetch_ms = self._picture(claim, order, sent)
                    reading, queue_ms = reservation.read(data, order.options)
                total_ms = self._ms_since(started)
                elapsed = Elapsed(queue_ms, fetch_ms, reading.decode_ms, reading.ocr_ms, total_ms)
                self.usage.finish(_success(claim, reading, elapsed))
        return OcrAnswer(claim.request_id, reading, elapsed, quota, order.options.boxes)

    def _picture(self, claim: Claim, order: ReadOrder, sent: PictureSource | None) -> tuple[bytes, int]:
        """The picture's bytes, and the milliseconds that the download took."""
        if sent is not None:
            return sent(), 0
        started = self.clock.monotonic()
        url = order.picture_url or ""
        data = self.fetcher.fetch(url, username=claim.username, deadline=order.deadline)
        return data, self._ms_since(started)

    @contextmanager
    def _failure_recorded(self, claim: Claim, started: float) -> Iterator[None]:
        """Record whatever ends an admitted request, even the worker's end, and give its quota back.

        The first error is raised even where the store is down; the store closes the record later on its own.
        """
        try:
            yield
        except BaseException as error:
            code = error.status_code if isinstance(error, ServiceError) else OcrFailed.status_code
            elapsed = Elapsed(total=self._ms_since(started))
            with suppress(DependencyUnavailable):
                self.usage.finish(UsageRecord(claim.request_id, claim.username, code, elapsed))
            raise

    def _ms_since(self, started: float) -> int:
        return round((self.clock.monotonic() - started) * 1000)


def _success(claim: Claim, reading: ReadResult, elapsed: Elapsed) -> UsageRecord:
    lines = reading.page.lines
    return UsageRecord(
        request_id=claim.request_id,
        username=claim.username,
        status_code=RECOGNISED,
        elapsed=elapsed,
        picture=reading.picture,
        lines=len(lines),
        characters=sum(len(line.text) for line in lines),
        text=reading.page.text,
    )
