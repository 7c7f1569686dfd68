"""Who calls, asked by every signed route before it works: the limits, the signature, the user."""

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
    def proven(self, claim: Claim, sent: PictureSource | None = None, *, now: float) -> Iterator[Account]:
        """The account that signed the request and may go on; refusals raised inside count against it.

        sent: the picture that came with the request, if one did. now: Unix seconds. Raises TimestampExpired,
        SignWrong, RequestMalformed, UserDisabled, RateLimited, DependencyUnavailable.
        """
        self.refusals.check(claim.username, claim.address)
        account = self._signer(claim, now)
        try:
            require_permitted(claim, account, sent)
            yield account
        except OUR_FAULT:
            raise
        except ServiceError as error:
            self.refusals.count(claim.username, claim.address, busy=isinstance(error, Busy))
            raise

    def _signer(self, claim: Claim, now: float) -> Account:
        arrived = self.clock.monotonic()
        try:
            return self._limited(claim, now)
        except (SignWrong, RateLimited, DependencyUnavailable):
            step_s = self.refused_ms / 1000
            self.sleep_until(arrived + step_s * ((self.clock.monotonic() - arrived) // step_s + 1))
            raise

    def _limited(self, claim: Claim, now: float) -> Account:
        """The limit is asked once the signature is known to be wrong, so that nobody is locked out by others.

        Where a password may be guessed it holds for the right one as well, which would show itself otherwise.
        The signature is computed all the same: nobody can tell by the time which names have such a password.
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
