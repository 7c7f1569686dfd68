"""POST /sign-in: exchange a one-time code for the account that it was issued for."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import SignWrong, UserDisabled
from app.model.account import Account
from app.ports import Accounts, Failures, SignInCodes


@dataclass(frozen=True, slots=True)
class SignInService:
    """accounts: the database itself; a cache may still hold a secret that was revoked."""

    codes: SignInCodes
    accounts: Accounts
    failures: Failures

    def handle(self, username: str, code: str, *, address: str) -> Account:
        """Spend the code and return the account with its secrets.

        Raises SignWrong for a code that is unknown, expired, spent or another user's, which is only looked
        up; RateLimited where the address has sent too many such codes for this user; UserDisabled;
        DependencyUnavailable.
        """
        owner = self.codes.owner(code)
        account = self.accounts.find(username) if owner == username else None
        if account is not None and not account.enabled:
            raise UserDisabled(username)
        if account is None or not self.codes.spend(code):
            self.failures.check(address, username)
            self.failures.count(address, username)
            raise SignWrong("no valid sign-in code")
        return account
