"""POST /sign-in: the holder of a one-time code gets the account that the code was made for."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import SignWrong, UserDisabled
from app.model.account import Account
from app.ports import Accounts, Failures, SignInCodes


@dataclass(frozen=True, slots=True)
class SignInService:
    """accounts: as the database has them, since a cache might still hold a secret that was taken away."""

    codes: SignInCodes
    accounts: Accounts
    failures: Failures

    def handle(self, username: str, code: str, *, address: str) -> Account:
        """The account with its secrets; the code is spent.

        Raises SignWrong for a code that is unknown, expired, spent or another user's, after nothing but a
        look-up; RateLimited where the address has sent too many of those for this user; UserDisabled;
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
