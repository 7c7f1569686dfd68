"""How records that are stored together change what their users have used."""

from __future__ import annotations

from app.state.sql.ledger import Balance, QuotaLedger


def test_charges_add_up_for_each_user() -> None:
    ledger = QuotaLedger({1: Balance(5, 1000), 2: Balance(0, 0)})
    for user_id, charge in ((1, 1), (1, 1), (2, 1), (1, -1), (1, 0)):
        ledger.enter(user_id, 1000, charge)
    assert ledger.balances == {1: Balance(6, 1000), 2: Balance(1, 0)}


def test_a_record_of_an_earlier_period_no_longer_counts() -> None:
    ledger = QuotaLedger({1: Balance(5, 1000)})
    ledger.enter(1, 999, 1)
    assert ledger.balances == {1: Balance(5, 1000)}


def test_users_who_were_deleted_are_ignored() -> None:
    ledger = QuotaLedger({})
    ledger.enter(1, 1000, 1)
    assert ledger.balances == {}
