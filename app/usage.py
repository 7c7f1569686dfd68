"""GET /usage: what a caller has used, told to the caller alone; administrators may ask for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from app.authenticate import SignaturePolicy, nonce_ttl_s
from app.errors import RequestMalformed
from app.model import Account, OcrRequest, Usage, UsageReport, UserQuota, UserUsage
from app.ports import Accounts, Clock, Failures, Nonces
from app.service import authenticated

EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class UsageService:
    """report: of a user by its id, or of all (None), from a day to a day. quota: of a user by its name."""

    accounts: Accounts
    failures: Failures
    nonces: Nonces
    report: Callable[[int | None, date, date], UsageReport]
    quota: Callable[[str], UserQuota]
    is_admin: Callable[[str], bool]
    usage_of_all: Callable[[date, date], tuple[UserUsage, ...]]
    clock: Clock
    policy: SignaturePolicy

    def handle(self, request: OcrRequest, *, first: date, last: date, whose: str | None) -> Usage:
        """Raises ServiceError. The nonce is spent, the quota is not.

        whose: None is the caller; an administrator may name another user, or EVERYBODY.
        """
        now = self.clock.now()
        account = authenticated(request, self.accounts, self.failures, now=now, policy=self.policy)
        ttl = nonce_ttl_s(request, now=now, policy=self.policy)
        self.nonces.spend_nonce(account, request, nonce_ttl_s=ttl)
        admin = self.is_admin(account.username)
        users = self.usage_of_all(first, last) if admin else None
        if admin and whose == EVERYBODY:
            return Usage(None, None, self.report(None, first, last), users)
        user = self._asked_for(whose or account.username, account, admin)
        return Usage(user.username, self.quota(user.username), self.report(user.user_id, first, last), users)

    def _asked_for(self, username: str, caller: Account, admin: bool) -> Account:
        """Who is no administrator cannot tell by the answer which users there are."""
        if username == caller.username:
            return caller
        found = self.accounts.find(username) if admin else None
        if found is None:
            raise RequestMalformed(f"{caller.username} asks for {username}", field="of")
        return found
