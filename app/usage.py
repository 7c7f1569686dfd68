"""GET /usage: what a caller has used, told to the caller alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from app.authenticate import SignaturePolicy, nonce_ttl_s
from app.model import OcrRequest, UsageReport, UserQuota
from app.ports import Accounts, Clock, Failures, Nonces
from app.service import authenticated


@dataclass(frozen=True, slots=True)
class UsageService:
    """report: of a user, by its id, from a day to a day. quota: of a user by its name."""

    accounts: Accounts
    failures: Failures
    nonces: Nonces
    report: Callable[[int, date, date], UsageReport]
    quota: Callable[[str], UserQuota]
    clock: Clock
    policy: SignaturePolicy

    def handle(self, request: OcrRequest, *, first: date, last: date) -> tuple[UserQuota, UsageReport]:
        """The caller's quota and figures; raises ServiceError. The nonce is spent, the quota is not."""
        now = self.clock.now()
        account = authenticated(request, self.accounts, self.failures, now=now, policy=self.policy)
        ttl = nonce_ttl_s(request, now=now, policy=self.policy)
        self.nonces.spend_nonce(account, request, nonce_ttl_s=ttl)
        return self.quota(account.username), self.report(account.user_id, first, last)
