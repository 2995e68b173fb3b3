"""Odd documents in the parts of the account: each part counts what it lists, and says what has no amount (R37)."""

from typing import Any

import pytest

from engine.reconciliation.account import PARTS
from store.queries.account import TOGETHER
from store.queries.reader import Reader
from tests.support.ledger_rows import ledger_store
from tests.support.stores import MAPS
from tests.support.story import changes

pytestmark = pytest.mark.requirement("R37")

STORIES: dict[str, tuple[str, dict[str, tuple[str, int, int]]]] = {
    # Amount, number of items, and how many of them have no amount.
    "nothing in euros that booked five dollars": (
        """
    08:00   expense   E1   0.00 id=T1 booked=5.00 currency=EUR rate=108.35 voucher=V-1
    08:10   record    R1   approved of=T1 currency=U2
    08:20   actual    A1   0.00 of=R1 currency=U2 booked=5.00 voucher=PJ-1
    08:40   line      L1   posted 0.00 currency=EUR rate=108.35 voucher=PJ-1
    08:50   staging   S1   0.00 of=A1 line=L1 currency=EUR booked=5.00 voucher=PJ-1
""",
        {"amount-difference": ("5.00", 1, 0), "exchange-difference": ("-5.00", 1, 0)},
    ),
    "an amount that cannot be read": (
        "08:00   expense   E1   amount=1,000.00 id=T1 voucher=V-1",
        {"amount-unknown": ("0.00", 1, 1)},
    ),
}


@pytest.mark.parametrize(("story", "expected"), STORIES.values(), ids=STORIES.keys())
def test_a_part_counts_what_it_lists_and_what_has_no_amount(
    story: str, expected: dict[str, tuple[str, int, int]]
) -> None:
    with Reader(ledger_store(changes(story)), MAPS).snapshot() as asked:
        company = asked.company("USPM")
        found: dict[str, Any] = {}
        for name in PARTS:
            part = asked.account_parts(company).accounts[TOGETHER].parts[name]
            rows = list(asked.part_rows(company, None, name))
            assert (part.count, part.amount) == (len(rows), sum(row.amount or 0 for row in rows)), name
            assert part.unknown == sum(row.amount is None for row in rows)
            if part.amount or part.count:
                found[name] = (f"{part.amount / 10_000:.2f}", part.count, part.unknown)
    assert found == expected
