"""GET /usage: what a caller has used, told to the caller alone; administrators may ask for others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from app.authenticate import nonce_ttl_s
from app.errors import Busy, RateLimited, RequestMalformed
from app.model.account import Account
from app.model.claim import Claim
from app.model.usage import Usage
from app.ports import Clock, Nonces, Reports
from app.service.caller import CallerCheck

EVERYBODY = "*"

RETRY_AFTER_S = 1

AHEAD_S = 3.0
"""How much of its share of the next seconds a user may use at once: some reports of a reader in a hurry."""

LONGEST_PAUSE_S = 1.0
"""Before a report of a user who has used more than that."""


class ReportLimit:
    """Reports of a worker that are under way or wait for their turn: at_once in all, one for each user.

    share (0-1): of the time, that the reports of one user take. Beyond it the next one waits, since reports
    compute beside the loop, and somebody who asks without end would slow down everybody.
    """

    def __init__(
        self, *, at_once: int, share: float, clock: Clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._at_once = at_once
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._users: set[str] = set()
        self._used_until: dict[str, float] = {}
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
            self._pause(username)
            with self._timed(username):
                yield
        finally:
            with self._lock:
                self._users.remove(username)

    def _pause(self, username: str) -> None:
        pause_s = self._used_until.get(username, 0.0) - AHEAD_S - self._clock.monotonic()
        if pause_s > 0:
            self._sleep(pause_s)

    @contextmanager
    def _timed(self, username: str) -> Iterator[None]:
        began = self._clock.monotonic()
        try:
            yield
        finally:
            now = self._clock.monotonic()
            with self._lock:
                used_until = max(began, self._used_until.get(username, 0.0)) + (now - began) / self._share
                self._used_until[username] = min(used_until, now + AHEAD_S + LONGEST_PAUSE_S)
                self._used_until = {user: t for user, t in self._used_until.items() if t > now}


@dataclass(frozen=True, slots=True)
class UsageService:
    caller: CallerCheck
    nonces: Nonces
    reports: Reports
    limit: ReportLimit
    clock: Clock

    def handle(self, claim: Claim, *, first: date, last: date, whose: str | None) -> Usage:
        """Raises ServiceError. The nonce is spent, the quota is not; where there are too many reports at once
        the nonce is not spent either, so that the same query can be sent again.

        whose: None is the caller; an administrator may name another user, or EVERYBODY.
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
