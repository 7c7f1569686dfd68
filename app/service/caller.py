"""The first step of every signed route: check the limits, the signature and the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.authenticate import SignaturePolicy, authenticate, require_permitted
from app.errors import Busy, DependencyUnavailable, OcrFailed, RateLimited, ServiceError, SignWrong
from app.limits.refusals import RefusalLimit
from app.model.account import Account
from app.model.claim import Claim
from app.ports import Accounts, Clock, Failures, PictureSource

OUR_FAULT = (OcrFailed, DependencyUnavailable)
"""Failures that do not count against the caller."""


@dataclass(frozen=True, slots=True)
class CallerCheck:
    """refused_ms: a wrong signature is answered after a multiple of this many milliseconds, so that the time
    of the answer does not show which look-ups were made. sleep_until: takes a moment on the monotonic clock.
    """

    accounts: Accounts
    failures: Failures
    refusals: RefusalLimit
    clock: Clock
    policy: SignaturePolicy
    refused_ms: int
    sleep_until: Callable[[float], None]

    @contextmanager
    def proven(self, claim: Claim, sent: PictureSource | None = None, *, now: float) -> Iterator[Account]:
        """Yield the account that signed the request. Errors raised in the block count as its refusals.

        sent: the picture that came with the request, if one did. now: Unix seconds. Raises TimestampExpired,
        SignWrong, RequestMalformed, UserDisabled, RateLimited, DependencyUnavailable.
        """
        self.refusals.check(claim.username, claim.address)
        account = self._authenticated(claim, now)
        try:
            require_permitted(claim, account, sent)
            yield account
        except OUR_FAULT:
            raise
        except ServiceError as error:
            self.refusals.count(claim.username, claim.address, busy=isinstance(error, Busy))
            raise

    def _authenticated(self, claim: Claim, now: float) -> Account:
        arrived = self.clock.monotonic()
        try:
            return self._limited(claim, now)
        except (SignWrong, RateLimited, DependencyUnavailable):
            step_s = self.refused_ms / 1000
            self.sleep_until(arrived + step_s * ((self.clock.monotonic() - arrived) // step_s + 1))
            raise

    def _limited(self, claim: Claim, now: float) -> Account:
        """Authenticate, within the limit of wrong signatures.

        The limit applies only to a signature that was found wrong, so that callers cannot lock out each
        other. Accounts that may sign by md5 may have guessable passwords: over the limit a right signature is
        refused like a wrong one, or it would reveal the password. The signature is computed first in any
        case, so that the time does not show which accounts these are.
        """
        try:
            account = authenticate(claim, self.accounts, now=now, policy=self.policy)
        except SignWrong:
            self.failures.check(claim.address, claim.username)
            self.failures.count(claim.address, claim.username)
            raise
        if account.allow_legacy_sign:
            self.failures.check(claim.address, claim.username)
        return account
