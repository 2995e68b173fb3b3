"""The comparison with the ledger: what it lists makes up what is unexplained, and a month is the sum of its rows."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.reconciliation.kinds import KINDS
from store.operational.ledger_balances import KeptBalance
from store.queries import ledger
from store.queries.account import TOGETHER
from store.queries.ledger_comparison import Scope, compare
from store.queries.reader import Reader
from tests.support.ledger_rows import ACCOUNTS, CHART, entry, header, ledger_store
from tests.support.soak import examples
from tests.support.stores import MAPS
from tests.support.story import changes

pytestmark = pytest.mark.requirement("R37", "R87")

_AMOUNTS = st.sampled_from(["100.00", "40.00", "60.00", "-25.00", "0.00"])
_VOUCHERS = st.sampled_from(["V-1", "V-2", "V-3", ""])
_DAYS = st.sampled_from(["2024-12-30", "2025-01-08", "2025-02-03", ""])


@st.composite
def stories(draw: st.DrawFn) -> str:
    """Expenses, some with an actual that a posted line cleared, and posted lines that nothing names."""
    lines = []
    for number in range(1, draw(st.integers(0, 4)) + 1):
        amount, day = draw(_AMOUNTS), draw(_DAYS)
        lines.append(f"08:00 expense E{number} {amount} id=T{number}{_named(draw(_VOUCHERS), day, 'date')}")
        if draw(st.booleans()):
            cleared, posted = draw(_AMOUNTS), _named(draw(_VOUCHERS), draw(_DAYS), "accounting-date")
            lines += [
                f"08:10 record R{number} approved of=T{number}",
                f"08:20 actual A{number} {amount} of=R{number}",
                f"08:40 line L{number} posted {cleared} currency=USD{posted}",
                f"08:50 staging S{number} {cleared} of=A{number} line=L{number}",
            ]
    for number in range(5, 5 + draw(st.integers(0, 2))):
        posted = _named(draw(_VOUCHERS), draw(_DAYS), "accounting-date")
        lines.append(f"09:00 line L{number} posted {draw(_AMOUNTS)} currency=USD{posted}")
    return "\n".join(lines)


def _named(voucher: str, day: str, column: str) -> str:
    return (f" voucher={voucher}" if voucher else "") + (f" {column}={day}" if day else "")


@st.composite
def ledgers(draw: st.DrawFn) -> list[Any]:
    """Entries of both accounts with the vouchers of the stories, or another one."""
    rows: list[Any] = list(CHART)
    for number in range(1, draw(st.integers(1, 5)) + 1):
        columns: dict[str, Any] = {"SubledgerVoucher": draw(_VOUCHERS) or None, "AccountingDate": draw(_DAYS) or None}
        account = draw(st.sampled_from(["5637200001", "5637200002"]))
        rows += [header(number, **columns), entry(number, draw(_AMOUNTS), MainAccount=account)]
    return rows


@settings(max_examples=examples(60), deadline=None)
@given(stories(), ledgers())
def test_what_is_listed_makes_up_what_is_unexplained(story: str, rows: Sequence[Any]) -> None:
    engine = ledger_store([*changes(story), *rows])
    with engine.connect() as connection:
        balance = sum(one.amount for one in ledger.voucher_sums(connection, "USPM"))
        scope = Scope({"expense": "", "vendor-invoice-line": ""}, "USD")
        differing = [one for one in compare(connection, "USPM", scope) if one.computed is not None]
    with Reader(engine, MAPS, accounts=ACCOUNTS).snapshot() as asked:
        explained = asked.account_parts(asked.company("USPM")).accounts[TOGETHER].explained
    assert balance - explained == sum(one.difference for one in differing)


@settings(max_examples=examples(60), deadline=None)
@given(stories(), ledgers())
def test_every_month_is_the_sum_of_its_rows_and_ends_with_the_balance_of_its_last_day(
    story: str, rows: Sequence[Any]
) -> None:
    engine = ledger_store([*changes(story), *rows])
    with Reader(engine, MAPS, accounts=ACCOUNTS).snapshot() as asked:
        company = asked.company("USPM")
        parts = asked.account_parts(company).accounts
        for kind in (None, *KINDS):
            months = asked.roll_forward(company, kind)
            for month in months:
                booked = sum(row.amount or 0 for row in asked.booked_rows(company, month.start, kind))
                cleared = sum(row.amount or 0 for row in asked.cleared_rows(company, month.start, kind))
                assert (booked, cleared) == (month.booked, month.cleared)
            assert (months[-1].closing if months else 0) == parts[kind or TOGETHER].explained
            name: Any = {"expense": "expense", "vendor-invoice-line": "vendor_invoice"}.get(kind or "", "both")
            ends = [
                KeptBalance("USPM", name, f"{month.start}-31", 1, month.closing, "USD", "mira")
                for month in months
                if month.start
            ]
            assert [one.unexplained for one in asked.compared(company, ends)] == [0] * len(ends)
