"""GET /usage: callers see their own usage; administrators see that of all users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from app.authenticate import nonce_ttl_s
from app.errors import RequestMalformed
from app.limits.reports import ReportLimit
from app.model.account import Account
from app.model.claim import Claim
from app.model.usage import Usage
from app.ports import Clock, Nonces, Reports
from app.service.caller import CallerCheck

EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class UsageService:
    caller: CallerCheck
    nonces: Nonces
    reports: Reports
    limit: ReportLimit
    clock: Clock

    def handle(self, claim: Claim, *, first: date, last: date, whose: str | None) -> Usage:
        """Report the usage of the days from first to last, both included. Costs a nonce, but no quota.

        whose: None is the caller; an administrator may name another user, or EVERYBODY. Raises ServiceError.
        A report over the limit spends no nonce, so that the same query can be sent again.
        """
        now = self.clock.now()
        ttl = nonce_ttl_s(claim, now=now, policy=self.caller.policy)
        with self.caller.proven(claim, now=now) as account, self.limit.held(account.username):
            self.nonces.spend_nonce(account, claim, nonce_ttl_s=ttl)
            return self._usage(account, first, last, whose)

    def _usage(self, account: Account, first: date, last: date, whose: str | None) -> Usage:
        admin = self.reports.is_admin(account.username)
        users = self.reports.usage_of_all(first, last) if admin else None
        if admin and whose == EVERYBODY:
            return Usage(None, None, self.reports.report(None, first, last), users)
        user = self._reported(whose or account.username, account, admin)
        quota = self.reports.quota(user.username)
        return Usage(user.username, quota, self.reports.report(user.user_id, first, last), users)

    def _reported(self, username: str, caller: Account, admin: bool) -> Account:
        """The user whose usage is reported. The error tells other callers nothing about which users exist."""
        if username == caller.username:
            return caller
        found = self.caller.accounts.find(username) if admin else None
        if found is None:
            raise RequestMalformed(f"{caller.username} asks for {username}", field="of")
        return found
