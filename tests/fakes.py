"""Stand-ins for the ports, for one process. The contract suites hold them to what the real ones do."""

from __future__ import annotations

import math
from collections import Counter

from app.errors import NonceReplayed, QuotaExhausted, RateLimited
from app.model.account import Account, CachedAccount, Quota
from app.model.claim import Claim
from app.model.usage import UsageRecord


class FakeClock:
    """Stands still until told; both clocks advance together."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds

    def advance_to(self, moment: float) -> None:
        self.time = moment


class FakeAccounts:
    def __init__(self, *accounts: Account) -> None:
        self.by_name = {account.username: account for account in accounts}

    def remembered(self, username: str) -> Account | None:
        return None

    def cached(self, username: str) -> CachedAccount:
        return CachedAccount()

    def find(self, username: str) -> Account | None:
        return self.by_name.get(username)


class FakeFailures:
    """Limits nobody until told; counts by address and user name."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, str]] = Counter()
        self.refused: set[tuple[str, str]] = set()

    def check(self, address: str, username: str) -> None:
        if (address, username) in self.refused:
            raise RateLimited(address, retry_after=1)

    def count(self, address: str, username: str) -> None:
        self.counted[address, username] += 1


class FakeAdmission:
    """Nonces never expire, and there is no rate; used counts by username."""

    def __init__(self) -> None:
        self.nonces: dict[tuple[str, str], str] = {}
        self.used: Counter[str] = Counter()
        self.unanswered: set[str] = set()

    def admit(
        self, account: Account, claim: Claim, *, nonce_ttl_s: float, deadline: float = math.inf
    ) -> Quota:
        spent_by = self.nonces.get((account.username, claim.nonce))
        known = claim.request_id in self.nonces.values()
        if spent_by is not None and (spent_by != claim.request_id or spent_by not in self.unanswered):
            raise NonceReplayed
        if spent_by is None and known:
            raise NonceReplayed
        limit = account.quota_limit
        if spent_by is None:
            if limit is not None and self.used[account.username] >= limit:
                raise QuotaExhausted
            self.nonces[account.username, claim.nonce] = claim.request_id
            self.used[account.username] += 1
            self.unanswered.add(claim.request_id)
        return Quota(limit, None if limit is None else limit - self.used[account.username])


class FakeUsageLog:
    def __init__(self, admission: FakeAdmission) -> None:
        self.records: dict[str, UsageRecord] = {}
        self._admission = admission

    def finish(self, record: UsageRecord) -> None:
        if record.request_id not in self._admission.nonces.values():
            raise LookupError(record.request_id)
        if record.request_id not in self.records:
            self.records[record.request_id] = record
            if not record.charged:
                self._admission.unanswered.discard(record.request_id)
            self._admission.used[record.username] -= not record.charged
