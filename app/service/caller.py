"""Who calls, asked by every signed route before it works: the limits, the signature, the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.authenticate import SignaturePolicy, authenticate, require_permitted
from app.errors import Busy, DependencyUnavailable, OcrFailed, RateLimited, ServiceError, SignWrong
from app.limits.refusals import RefusalLimit
from app.model.account import Account
from app.model.claim import OcrRequest
from app.ports import Accounts, Clock, Failures

OUR_FAULT = (OcrFailed, DependencyUnavailable)
"""No refusals: the caller can do nothing about them."""


@dataclass(frozen=True, slots=True)
class CallerCheck:
    """refused_ms: a request without a right signature is answered after a multiple of so many milliseconds,
    so that its time does not tell what was looked up. sleep_until: a moment on the monotonic clock.
    """

    accounts: Accounts
    failures: Failures
    refusals: RefusalLimit
    clock: Clock
    policy: SignaturePolicy
    refused_ms: int
    sleep_until: Callable[[float], None]

    @contextmanager
    def proven(self, request: OcrRequest, *, now: float) -> Iterator[Account]:
        """The account that signed the request and may go on; refusals raised inside count against it.

        now: Unix seconds. Raises TimestampExpired, SignWrong, RequestMalformed, UserDisabled, RateLimited,
        DependencyUnavailable.
        """
        self.refusals.check(request.username, request.address)
        account = self._signer(request, now)
        try:
            require_permitted(request, account)
            yield account
        except OUR_FAULT:
            raise
        except ServiceError as error:
            self.refusals.count(request.username, request.address, busy=isinstance(error, Busy))
            raise

    def _signer(self, request: OcrRequest, now: float) -> Account:
        arrived = self.clock.monotonic()
        try:
            return self._limited(request, now)
        except (SignWrong, RateLimited, DependencyUnavailable):
            step_s = self.refused_ms / 1000
            self.sleep_until(arrived + step_s * ((self.clock.monotonic() - arrived) // step_s + 1))
            raise

    def _limited(self, request: OcrRequest, now: float) -> Account:
        """The limit is asked once the signature is known to be wrong, so that nobody is locked out by others.

        Where a password may be guessed it holds for the right one as well, which would show itself otherwise.
        The signature is computed all the same: nobody can tell by the time which names have such a password.
        """
        try:
            account = authenticate(request, self.accounts, now=now, policy=self.policy)
        except SignWrong:
            self.failures.check(request.address, request.username)
            self.failures.count(request.address, request.username)
            raise
        if account.allow_legacy_sign:
            self.failures.check(request.address, request.username)
        return account
