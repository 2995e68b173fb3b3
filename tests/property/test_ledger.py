"""Entries of the ledger do not depend on the order in which rows arrive (R11, R87)."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events.facts import Change
from store.queries import ledger
from tests.support.ledger_rows import (
    ACCOUNTS,
    EXPENSE,
    PROCUREMENT,
    books,
    deleted,
    entries,
    entry,
    header,
    ledger_store,
)
from tests.support.ledger_rows import main_account as main_account_row
from tests.support.naive_ledger import NaiveLedger
from tests.support.soak import examples
from tests.support.stores import MAPS, canonical
from tests.support.story import id_of

pytestmark = pytest.mark.requirement("R11", "R87")

_ROWS = st.integers(1, 4)
_MINUTES = st.integers(0, 20)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """A change of an entry, a header or a main account; any of them may be deleted, and come again."""
    minute, number = draw(_MINUTES), draw(_ROWS)
    columns: dict[str, Any]
    kind = draw(st.sampled_from(["entry", "header", "account"]))
    if kind == "entry":
        columns = {
            "GeneralJournalEntry": draw(st.sampled_from(["5637200001", "5637200002", None])),
            "MainAccount": draw(st.sampled_from(["5637200001", "5637200002", None])),
            "LedgerAccount": draw(st.sampled_from([None, f"{EXPENSE}-1", "110180-1"])),
        }
        change = entry(number, draw(st.sampled_from(["1.00", "-2.50", "much", "0.00001", None])), minute, **columns)
    elif kind == "header":
        columns = {
            "Ledger": draw(st.sampled_from([id_of("G1"), id_of("G2"), None])),
            "SubledgerVoucher": draw(st.sampled_from(["V-1", "V-2", None])),
            "SubledgerVoucherDataAreaId": draw(st.sampled_from(["uspm", None])),
            "PostingLayer": draw(st.sampled_from([0, 0, 1, 9, None])),
            "FiscalCalendarPeriod": draw(st.sampled_from([id_of("M1"), id_of("M3"), id_of("M9"), None])),
        }
        change = header(min(number, 2), minute, **columns)
    else:
        account = draw(st.sampled_from([EXPENSE, PROCUREMENT, "110180"]))
        change = main_account_row(min(number, 2), account, minute)
    return deleted(change, minute) if draw(st.integers(0, 9)) == 0 else change


@settings(max_examples=examples(60), deadline=None)
@given(
    events=st.lists(changes(), max_size=14),
    chance=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(1, 7), min_size=1, max_size=3),
)
def test_any_order_repetition_and_batch_size_give_the_same_entries(
    events: list[Change], chance: Any, cuts: list[int]
) -> None:
    arrived = [*events, *(change for change in events if chance.random() < 0.3)]
    chance.shuffle(arrived)
    first, second = ledger_store(events), ledger_store(arrived, cuts=cuts)
    assert canonical(second) == canonical(first)
    stored = [item for item in entries(second) if not item.lacks]
    with second.connect() as connection:
        for company in ("USPM", "GBPM"):
            counted = [item for item in stored if item.company == company]
            vouchers = ledger.voucher_sums(connection, company)
            assert sum(item.amount or 0 for item in counted) == sum(item.amount for item in vouchers)
            found = ledger.balances(connection, company, ACCOUNTS, MAPS)["together"]
            assert found.entries == len(counted)


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(changes(), max_size=14))
def test_the_naive_ledger_agrees(events: list[Change]) -> None:
    naive = NaiveLedger([*books(), *events], {EXPENSE}, {PROCUREMENT})
    engine = ledger_store(events)
    with engine.connect() as connection:
        sums = {
            (company, item.account, item.voucher): Decimal(item.amount) / 10_000
            for company in ("USPM", "GBPM")
            for item in ledger.voucher_sums(connection, company)
        }
    assert sums == naive.sums
    assert Counter(item.lacks for item in entries(engine) if item.lacks) == naive.lacking
