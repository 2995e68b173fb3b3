"""The ledger beside documents and postings, voucher by voucher: what nothing explains, and what differs (R87)."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from engine.events.facts import Change
from engine.reconciliation.ledger_accounts import LedgerAccounts, read_numbers
from store.operational.ledger_balances import KeptBalance, keep
from store.queries.account import TOGETHER
from store.queries.ledger_comparison import Scope, compare
from store.queries.reader import Reader
from tests.support.ledger_rows import (
    ACCOUNTS,
    CHART,
    DOCUMENTS,
    EXPENSE,
    LATER,
    PROCUREMENT,
    entry,
    header,
    ledger_store,
)
from tests.support.stores import MAPS
from tests.support.story import changes, id_of
from tieout.presenters import chain_json

pytestmark = pytest.mark.requirement("R37", "R87")

BOOKED = [
    *(header(1, SubledgerVoucher="V-1"), entry(1, "140.00")),
    *(header(2, SubledgerVoucher="V-2"), entry(2, "60.00")),
    *(header(3, SubledgerVoucher="PJ-1"), entry(3, "-60.00")),
]

MANUAL = [header(4, SubledgerVoucher="GJ-7"), entry(4, "12.50")]

UNKNOWN = [
    *changes("09:00   line      L8   posted 25.00 currency=USD voucher=PJ-8"),
    header(8, SubledgerVoucher="PJ-8"),
]
BESIDE: dict[str, Any] = {"GeneralJournalEntry": "5637200008", "MainAccount": "5637200002"}

NO_VOUCHER = """
    08:00   expense   E6   90.00 id=T6
    09:00   line      L7   posted 25.00 currency=USD
"""

LEDGERS: dict[str, tuple[Sequence[Change], list[tuple[str, str, str | None]], str]] = {
    "every voucher is explained": (BOOKED, [], "140.00"),
    "a manual journal is another entry": ([*BOOKED, *MANUAL], [("GJ-7", "12.50", None)], "152.50"),
    "a posting and its cancellation are another entry, of 0": (
        [*BOOKED, *MANUAL, entry(14, "-12.50", GeneralJournalEntry="5637200004")],
        [("GJ-7", "0.00", None)],
        "140.00",
    ),
    "a voucher of two documents with another sum differs": (
        [header(1, SubledgerVoucher="V-1"), entry(1, "139.00"), *BOOKED[2:]],
        [("V-1", "139.00", "140.00")],
        "140.00",
    ),
    "a voucher that the ledger does not have differs": (
        BOOKED[:4],
        [("PJ-1", "0.00", "-60.00")],
        "140.00",
    ),
    "documents and lines without a voucher are listed, for no entry can be compared with them": (
        [*BOOKED, *changes(NO_VOUCHER)],
        [("", "0.00", "-25.00"), ("", "0.00", "90.00")],
        "205.00",
    ),
    "an entry without a voucher is another entry": (
        [*BOOKED, header(5, SubledgerVoucher=None), entry(5, "3.00")],
        [("", "3.00", None)],
        "143.00",
    ),
    # No event says whose account the line cleared; the voucher does.
    "a posting whose account is unknown is explained by the entry of its voucher": (
        [*BOOKED, *UNKNOWN, entry(8, "-25.00")],
        [],
        "115.00",
    ),
    "a posting whose account is unknown differs from an entry of another amount": (
        [*BOOKED, *UNKNOWN, entry(8, "-24.00")],
        [("PJ-8", "-24.00", "-25.00")],
        "115.00",
    ),
    "a posting whose account is unknown is explained by that of two accounts whose entry it explains": (
        [*BOOKED, *UNKNOWN, entry(8, "7.00"), entry(18, "-25.00", **BESIDE)],
        [("PJ-8", "7.00", None)],
        "122.00",
    ),
    "a year-end close repeats balances and is no entry": (
        [*BOOKED, header(6, SubledgerVoucher="YE-1", FiscalCalendarPeriod=id_of("M3")), entry(6, "-140.00")],
        [],
        "140.00",
    ),
}


EVERYTHING = Scope({"expense": "", "vendor-invoice-line": ""}, "USD")


def told(engine: Engine) -> list[tuple[str, str, str | None]]:
    with engine.connect() as connection:
        return [
            (one.voucher, amount(one.ledger), None if one.computed is None else amount(one.computed))
            for one in compare(connection, "USPM", EVERYTHING)
        ]


def amount(units: int) -> str:
    return f"{units / 10_000:.2f}"


@pytest.mark.parametrize(("rows", "expected", "explained"), LEDGERS.values(), ids=LEDGERS.keys())
def test_each_voucher_of_the_ledger_is_explained_or_listed(
    rows: Sequence[Change], expected: list[tuple[str, str, str | None]], explained: str
) -> None:
    engine = ledger_store([*CHART, *changes(DOCUMENTS), *rows])
    assert told(engine) == expected
    with Reader(engine, MAPS, accounts=ACCOUNTS).snapshot() as asked:
        company = asked.company("USPM")
        account = asked.account_parts(company).accounts[TOGETHER]
        assert amount(account.explained) == explained
        assert asked.roll_forward(company)[-1].closing == account.explained


def test_without_entries_nothing_is_compared() -> None:
    with Reader(ledger_store(changes(DOCUMENTS)), MAPS, accounts=ACCOUNTS).snapshot() as asked:
        assert asked.account_parts(asked.company("USPM")).ledger is None


def test_a_document_is_booked_on_the_day_on_which_its_voucher_was_posted() -> None:
    engine = ledger_store([*CHART, *changes(DOCUMENTS), *LATER])
    with Reader(engine, MAPS, accounts=ACCOUNTS).snapshot() as asked:
        company = asked.company("USPM")
        months = asked.roll_forward(company, "expense")
        assert [
            (one.start, *(amount(units) for units in (one.booked, one.cleared, one.other, one.closing)))
            for one in months
        ] == [
            ("2025-01", "60.00", "60.00", "0.00", "0.00"),
            ("2025-02", "140.00", "0.00", "12.50", "152.50"),
        ]
        for month in months:
            rows = list(asked.booked_rows(company, month.start, "expense"))
            assert sum(row.amount or 0 for row in rows) == month.booked
        assert [row.date for row in asked.booked_rows(company, "2025-02")] == ["2025-02-03"] * 2
        days = ["2025-01-07", "2025-02-02", "2025-02-03", "2025-02-10"]
        balances = [KeptBalance("USPM", "expense", day, 1, 0, "USD", "mira") for day in days]
        closings = [one.explained for one in asked.compared(company, balances)]
        assert [amount(units) for units in closings] == ["0.00", "0.00", "140.00", "152.50"]


def in_two_months(voucher: str, first: str, second: str) -> list[Change]:
    """A voucher with an entry in January and one in February."""
    return [
        *(header(1, SubledgerVoucher=voucher, AccountingDate="2025-01-08"), entry(1, first)),
        *(header(2, SubledgerVoucher=voucher, AccountingDate="2025-02-03"), entry(2, second)),
    ]


IN_TWO_MONTHS = {
    "that its documents booked": (in_two_months("V-1", "100.00", "40.00"), ["160.00", "200.00"]),
    "that nothing else has": ([*in_two_months("GJ-7", "12.50", "-2.50")], ["212.50", "210.00"]),
    "of a posting and its cancellation": ([*in_two_months("GJ-7", "12.50", "-12.50")], ["212.50", "200.00"]),
    "none": ([*in_two_months("", "12.50", "1.00")], ["212.50", "213.50"]),
    "that differs, by an amount that nothing explains": (in_two_months("V-1", "100.00", "41.00"), ["200.00"]),
}


@pytest.mark.parametrize(("rows", "closings"), IN_TWO_MONTHS.values(), ids=IN_TWO_MONTHS.keys())
def test_each_entry_of_a_voucher_in_two_months_counts_in_its_own(rows: Sequence[Change], closings: list[str]) -> None:
    documents = changes("\n".join(DOCUMENTS.splitlines()[:4]))
    with Reader(ledger_store([*CHART, *documents, *rows]), MAPS, accounts=ACCOUNTS).snapshot() as asked:
        company = asked.company("USPM")
        months = asked.roll_forward(company)
        assert [amount(one.closing) for one in months] == closings
        assert [month.opening for month in months[1:]] == [month.closing for month in months[:-1]]
        assert months[-1].closing == asked.account_parts(company).accounts[TOGETHER].explained
        for month in months:
            assert sum(row.amount or 0 for row in asked.booked_rows(company, month.start)) == month.booked
        ends = [KeptBalance("USPM", "both", f"{one.start}-28", 1, one.closing, "USD", "mira") for one in months]
        assert [one.unexplained for one in asked.compared(company, ends)] == [0] * len(ends)


def test_another_entry_says_whose_document_it_is_if_only_the_project_of_that_is_unknown() -> None:
    document = changes("08:00   expense   E9   75.00 id=T9 voucher=V-9 project=?")
    rows = [header(9, SubledgerVoucher="V-9"), entry(9, "75.00")]
    with Reader(ledger_store([*CHART, *document, *rows]), MAPS, accounts=ACCOUNTS).snapshot() as asked:
        (row,) = asked.part_rows(asked.company("USPM"), None, "other-ledger-entry")
    assert (row.id, row.document, row.amount) == ("V-9", "USPM/T9", 750_000)


KEPT = KeptBalance("USPM", "expense", "2025-01-08", 1, 0, "USD", "mira")


@pytest.mark.parametrize(
    ("rows", "accounts", "kept", "listed"),
    [
        # Entries are known from 1 February on: nothing says what the ledger has of the documents of January.
        ([header(4, SubledgerVoucher="GJ-7", AccountingDate="2025-02-01"), entry(4, "12.50")], ACCOUNTS, [], []),
        # A balance of 8 January was kept, which has them in it.
        ([*MANUAL, entry(14, "1.00", GeneralJournalEntry="5637200004")], ACCOUNTS, [KEPT], []),
        # From 4 January on every entry is known, and those of V-1, V-2 and PJ-1 are not there.
        (MANUAL, ACCOUNTS, [], ["PJ-1", "V-1", "V-2"]),
        # The expense account is not read, or is none.
        (MANUAL, replace(ACCOUNTS, expense={}), [], []),
        (MANUAL, replace(ACCOUNTS, expense=read_numbers(["999999"])), [], []),
    ],
)
def test_a_voucher_is_missing_in_the_ledger_only_where_the_ledger_is_known(
    rows: Sequence[Change], accounts: LedgerAccounts, kept: Sequence[KeptBalance], listed: list[str]
) -> None:
    engine = ledger_store([*CHART, *changes(DOCUMENTS), *rows], accounts)
    for balance in kept:
        keep(engine, balance)
    with Reader(engine, MAPS, accounts=accounts).snapshot() as asked:
        parts = asked.account_parts(asked.company("USPM")).ledger
    assert [one.voucher for one in (parts.differing if parts is not None else [])] == listed


def test_an_account_that_serves_both_kinds_beside_one_of_its_own_is_compared_together() -> None:
    accounts = LedgerAccounts(read_numbers([EXPENSE]), read_numbers([EXPENSE, PROCUREMENT]))
    own = entry(2, "60.00", MainAccount="5637200002")
    engine = ledger_store([*CHART, *changes(DOCUMENTS), *BOOKED[:3], own, *BOOKED[4:]], accounts)
    with Reader(engine, MAPS, accounts=accounts).snapshot() as asked:
        company = asked.company("USPM")
        assert asked.account_parts(company).accounts[TOGETHER].explained == 1_400_000
        assert list(asked.part_rows(company, None, "other-ledger-entry")) == []


def test_entries_of_a_ledger_in_another_currency_are_not_added() -> None:
    other = changes("00:00   ledger   G9   EUR company=K1")
    foreign = [header(6, Ledger=id_of("G9"), SubledgerVoucher="GJ-9"), entry(6, "1000.00")]
    engine = ledger_store([*CHART, *changes(DOCUMENTS), *BOOKED, *other, *foreign])
    with Reader(engine, MAPS, accounts=ACCOUNTS).snapshot() as asked:
        company = asked.company("USPM")
        assert asked.balances(company)["expense"].unknown == "several-currencies"
        assert company.currency == "USD"
        assert asked.account_parts(company).accounts[TOGETHER].explained == 1_400_000


AGREES = [header(2, SubledgerVoucher="V-2"), entry(2, "60.00"), header(3, SubledgerVoucher="PJ-1"), entry(3, "-60.00")]
OF_DOCUMENT = {
    "both vouchers agree": (AGREES, []),
    "the voucher of the document differs": ([*AGREES[:1], entry(2, "59.00"), *AGREES[2:]], ["V-2"]),
    "the voucher of the posted line differs": ([*AGREES[:3], entry(3, "-61.00")], ["PJ-1"]),
    "another voucher differs": ([*AGREES, header(1, SubledgerVoucher="V-1"), entry(1, "139.00")], []),
    "no entry is known": ([], []),
}


@pytest.mark.parametrize(("rows", "vouchers"), OF_DOCUMENT.values(), ids=OF_DOCUMENT.keys())
def test_a_document_is_settled_only_if_its_vouchers_agree_with_the_ledger(
    rows: Sequence[Change], vouchers: list[str]
) -> None:
    engine = ledger_store([*CHART, *changes(DOCUMENTS), *rows])
    with Reader(engine, MAPS, accounts=ACCOUNTS).snapshot() as asked:
        (view,) = asked.chain("USPM/T3")
        told = chain_json(view, MAPS, asked.moment)
    differing = [found["parameters"]["voucher"] for found in told["findings"] if found["code"] == "ledger-differs"]
    assert (differing, told["settled"]) == (vouchers, not vouchers)
    assert ("Ledger differs" in told["explanation"]["missing"]) is bool(vouchers)
    assert told["explanation"]["do"] == ("Do what each of these findings says." if vouchers else "No action.")
