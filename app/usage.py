"""GET /usage: what a caller has used, told to the caller alone; administrators may ask for others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from app.authenticate import nonce_ttl_s
from app.caller import CallerCheck
from app.errors import Busy, RateLimited, RequestMalformed
from app.model import Account, OcrRequest, Usage
from app.ports import Clock, Nonces, Reports

EVERYBODY = "*"


RETRY_AFTER_S = 1


class ReportLimit:
    """Reports of a worker that are under way or wait for their turn: at_once in all, one for each user."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._users: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def held(self, username: str) -> Iterator[None]:
        """Raises RateLimited while the user has one, and Busy where others have all."""
        with self._lock:
            if username in self._users:
                raise RateLimited("another report of the user is under way", retry_after=RETRY_AFTER_S)
            if len(self._users) >= self._at_once:
                raise Busy(f"{self._at_once} reports are under way", retry_after=RETRY_AFTER_S)
            self._users.add(username)
        try:
            yield
        finally:
            with self._lock:
                self._users.remove(username)


@dataclass(frozen=True, slots=True)
class UsageService:
    caller: CallerCheck
    nonces: Nonces
    reports: Reports
    limit: ReportLimit
    clock: Clock

    def handle(self, request: OcrRequest, *, first: date, last: date, whose: str | None) -> Usage:
        """Raises ServiceError. The nonce is spent, the quota is not; where there are too many reports at once
        the nonce is not spent either, so that the same query can be sent again.

        whose: None is the caller; an administrator may name another user, or EVERYBODY.
        """
        now = self.clock.now()
        ttl = nonce_ttl_s(request, now=now, policy=self.caller.policy)
        with self.caller.proven(request, now=now) as account, self.limit.held(account.username):
            self.nonces.spend_nonce(account, request, nonce_ttl_s=ttl)
            return self._usage(account, first, last, whose)

    def _usage(self, account: Account, first: date, last: date, whose: str | None) -> Usage:
        admin = self.reports.is_admin(account.username)
        users = self.reports.usage_of_all(first, last) if admin else None
        if admin and whose == EVERYBODY:
            return Usage(None, None, self.reports.report(None, first, last), users)
        user = self._asked_for(whose or account.username, account, admin)
        quota = self.reports.quota(user.username)
        return Usage(user.username, quota, self.reports.report(user.user_id, first, last), users)

    def _asked_for(self, username: str, caller: Account, admin: bool) -> Account:
        """Who is no administrator cannot tell by the answer which users there are."""
        if username == caller.username:
            return caller
        found = self.caller.accounts.find(username) if admin else None
        if found is None:
            raise RequestMalformed(f"{caller.username} asks for {username}", field="of")
        return found
