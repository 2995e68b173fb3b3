"""What the ledger says about an integration account: its balance, if it is known, and sums of its entries (R87)."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine

from engine.cursors import Cursor
from engine.events.facts import Change
from engine.reconciliation.ledger_accounts import LedgerAccounts, read_numbers
from store.operational.cursors import SqlCursors
from store.operational.ledger_balances import KeptBalance, history, keep, latest
from store.queries import ledger
from store.schema import tables
from store.schema.bulk_sql import insert
from tests.support.ledger_rows import ACCOUNTS, EXPENSE, PROCUREMENT, entry, header, ledger_store, main_account
from tests.support.stores import MAPS
from tests.support.story import id_of

pytestmark = pytest.mark.requirement("R87")

CHART = [main_account(1, EXPENSE), main_account(2, PROCUREMENT)]
PROCURED: dict[str, Any] = {"MainAccount": "5637200002"}
ENTRIES: Sequence[Change] = [
    *CHART,
    *(header(1), entry(1, "100.00"), entry(11, "50.00", GeneralJournalEntry="5637200001")),
    *(header(2), entry(2, "-30.00")),
    *(header(3), entry(3, "7.00", **PROCURED)),
    *(header(4, Ledger=id_of("G2")), entry(4, "1000.00")),
]
SHARED = LedgerAccounts(read_numbers([EXPENSE]), read_numbers([EXPENSE]))


def read_from_the_start(engine: Engine, accounts: LedgerAccounts = ACCOUNTS, rows: int = 5, passes: int = 1) -> Engine:
    """As after passes of the poller over the entries of these main accounts."""
    name = f"finance/GeneralJournalAccountEntry?{accounts.selection}"
    SqlCursors(engine).save(Cursor(table=name, rows=rows, passes=passes, complete_until=1))
    return engine


def typed(amount: str, date: str, account: str = "expense", at: int = 1) -> KeptBalance:
    return KeptBalance("USPM", account, date, at, int(float(amount) * 10_000), "USD", "mira")  # type: ignore[arg-type]


def shown(engine: Engine, accounts: LedgerAccounts = ACCOUNTS, company: str = "USPM") -> list[str]:
    """The balances of a company: expense, vendor invoice, together."""
    with engine.connect() as connection:
        found = ledger.balances(connection, company, accounts, MAPS)
    return [f"{item.amount / 10_000:.2f}" if item.amount is not None else str(item.unknown) for item in found.values()]


def test_a_balance_is_known_once_the_account_was_read_from_its_first_entry_on() -> None:
    engine = ledger_store(ENTRIES)
    assert shown(engine) == ["not-from-start"] * 3
    assert shown(read_from_the_start(engine, passes=0)) == ["not-from-start"] * 3
    assert shown(read_from_the_start(engine)) == ["120.00", "7.00", "127.00"]
    assert shown(engine, company="GBPM") == ["1000.00", "0.00", "1000.00"]
    # What was read is not in the store yet.
    assert shown(read_from_the_start(engine, rows=6)) == ["behind"] * 3


def test_a_pass_over_other_main_accounts_proves_nothing() -> None:
    other = LedgerAccounts(read_numbers([EXPENSE]), read_numbers(["199999"]))
    engine = read_from_the_start(ledger_store(ENTRIES), other)
    assert shown(engine) == ["not-from-start"] * 3


def test_a_row_of_the_ledger_that_is_to_be_read_again_leaves_the_balance_open() -> None:
    engine = read_from_the_start(ledger_store(ENTRIES))
    for entity, expected in (("msdyn_actual", "120.00"), ("GeneralJournalEntry", "not-read-yet")):
        with engine.begin() as connection:
            insert(connection, tables.notices, [(entity, "finance", entity, 0, 2, 1)])
        assert shown(engine)[0] == expected


def test_entries_say_from_when_they_are_known() -> None:
    with ledger_store(ENTRIES).connect() as connection:
        found = ledger.balances(connection, "USPM", ACCOUNTS, MAPS)
    assert [item.known_from for item in found.values()] == ["2025-01-01", "2025-01-03", "2025-01-01"]


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        # The balance of a day and the entries after it.
        ([typed("500.00", "2025-01-01")], ["470.00", "not-from-start", "not-from-start"]),
        ([typed("500.00", "2025-01-05")], ["500.00", "not-from-start", "not-from-start"]),
        # Nothing says which entries came between this day and the first known one.
        ([typed("500.00", "2024-12-31")], ["not-from-start"] * 3),
        ([typed("9.00", "2025-01-02", "both")], ["not-from-start", "not-from-start", "16.00"]),
        (
            [typed("5.00", "2025-01-01"), typed("6.00", "2025-01-01", at=2)],
            ["-24.00", "not-from-start", "not-from-start"],
        ),
        (
            [typed("5.00", "2025-01-02"), typed("6.00", "2025-01-01", at=2)],
            ["5.00", "not-from-start", "not-from-start"],
        ),
    ],
)
def test_a_balance_that_a_person_entered_is_the_opening_of_what_is_known(
    kept: list[KeptBalance], expected: list[str]
) -> None:
    engine = ledger_store(ENTRIES)
    for balance in kept:
        keep(engine, balance)
    assert shown(engine) == expected


def test_the_opening_is_named_with_the_balance() -> None:
    engine = ledger_store(ENTRIES)
    keep(engine, typed("500.00", "2025-01-01"))
    with engine.connect() as connection:
        found = ledger.balances(connection, "USPM", ACCOUNTS, MAPS)["expense"]
    assert (found.opening, found.entries) == (typed("500.00", "2025-01-01"), 1)


def test_entries_without_a_date_come_neither_before_nor_after_a_balance_that_a_person_entered() -> None:
    undated = [header(5, AccountingDate=None), entry(5, "1.00")]
    engine = ledger_store([*ENTRIES, *undated])
    keep(engine, typed("500.00", "2025-01-01"))
    assert shown(engine)[0] == "undated"
    assert shown(read_from_the_start(engine))[0] == "121.00"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([entry(9)], ["waiting"] * 3),  # nobody knows which company it is of
        ([header(9), entry(9, MainAccount="5637200099")], ["waiting"] * 3),
        ([entry(9, **PROCURED)], ["120.00", "waiting", "waiting"]),
        ([header(9, Ledger=id_of("G2")), entry(9, None)], ["120.00", "7.00", "127.00"]),
    ],
)
def test_a_balance_is_not_known_while_entries_that_may_be_of_the_account_cannot_be_counted(
    events: list[Change], expected: list[str]
) -> None:
    if events == [entry(9)]:
        events = [entry(9, MainAccount="5637200099")]
    assert shown(read_from_the_start(ledger_store([*ENTRIES, *events]))) == expected


def test_entries_that_wait_are_counted_by_what_they_lack() -> None:
    events = [*ENTRIES, entry(8), entry(9), header(7), entry(7, None), header(6, Ledger=id_of("G2")), entry(6, None)]
    with ledger_store(events).connect() as connection:
        found = [(item.lacks, item.entries) for item in ledger.waiting(connection, "USPM", ACCOUNTS)]
    assert found == [("amount", 1), ("header", 2)]


def test_one_main_account_for_both_kinds_is_known_together_alone() -> None:
    engine = read_from_the_start(ledger_store(ENTRIES, SHARED), SHARED)
    assert shown(engine, SHARED) == ["shared", "shared", "120.00"]
    keep(engine, typed("500.00", "2025-01-01"))
    assert shown(engine, SHARED) == ["shared", "shared", "120.00"]


def test_both_accounts_are_known_together_only_if_both_are_named() -> None:
    accounts = LedgerAccounts(read_numbers([EXPENSE]), {})
    engine = read_from_the_start(ledger_store(ENTRIES, accounts), accounts)
    assert shown(engine, accounts) == ["120.00", "no-account", "no-account"]


def test_sums_are_exact_beyond_64_bits() -> None:
    largest = "9999999999999.9999"
    events = [*CHART, header(1), *(entry(n, largest, GeneralJournalEntry="5637200001") for n in range(1, 121))]
    with read_from_the_start(ledger_store(events)).connect() as connection:
        exact = 120 * (10**17 - 1)
        assert exact > 2**63
        assert ledger.balances(connection, "USPM", ACCOUNTS, MAPS)["expense"].amount == exact
        assert [item.amount for item in ledger.voucher_sums(connection, "USPM")] == [exact]


def test_sums_by_voucher_are_in_order_and_leave_out_what_is_not_counted() -> None:
    events = [*ENTRIES, entry(9), header(6, SubledgerVoucher="V-1", AccountingDate="2025-01-09"), entry(6, "5.00")]
    with ledger_store(events).connect() as connection:
        vouchers = [
            (item.voucher, item.account, item.date, item.amount, item.entries)
            for item in ledger.voucher_sums(connection, "USPM")
        ]
    assert vouchers == [
        ("V-1", "expense", "2025-01-01", 1_550_000, 3),
        ("V-2", "expense", "2025-01-02", -300_000, 1),
        ("V-3", "vendor-invoice-line", "2025-01-03", 70_000, 1),
    ]


def test_a_number_without_a_main_account_or_an_entry_is_known_by_name() -> None:
    accounts = LedgerAccounts(read_numbers([EXPENSE, "USPM=199999"]), read_numbers([PROCUREMENT]))
    with ledger_store(ENTRIES, accounts).connect() as connection:
        assert ledger.unknown_numbers(connection, accounts) == ["199999"]


def test_balances_that_people_entered_stay_side_by_side() -> None:
    engine = ledger_store([])
    first, second = typed("1.00", "2025-01-05"), typed("2.00", "2025-01-05", at=9)
    for balance in (first, second, second, typed("3.00", "2025-01-07", "both", at=5)):
        keep(engine, balance)
    with engine.connect() as connection:
        assert latest(connection, "USPM", "expense") == second
        assert latest(connection, "USPM", "expense", until="2025-01-04") is None
        assert latest(connection, "GBPM", "expense") is None
        assert [item.at for item in history(connection, "USPM")] == [9, 5, 1]


def test_both_accounts_are_known_together_if_each_is() -> None:
    engine = ledger_store(ENTRIES)
    keep(engine, typed("500.00", "2025-01-01"))
    keep(engine, typed("9.00", "2025-01-03", "vendor_invoice"))
    assert shown(engine) == ["470.00", "9.00", "479.00"]


def test_a_main_account_that_is_not_in_the_chart_has_no_balance_also_together() -> None:
    accounts = LedgerAccounts(read_numbers(["999999"]), read_numbers([PROCUREMENT]))
    engine = ledger_store(ENTRIES, accounts)
    keep(engine, typed("9.00", "2025-01-03", "both"))
    assert shown(engine, accounts) == ["not-in-chart", "not-from-start", "not-in-chart"]
