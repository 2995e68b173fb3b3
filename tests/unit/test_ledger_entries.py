"""Which entries of the ledger are on an integration account, and what they say (R87)."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from engine.events.facts import Change
from engine.reconciliation.ledger_accounts import LedgerAccounts, read_numbers
from store.projection.writer import Writer
from streams.codec import StaticLocation, decode
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
    main_account,
    row,
    write,
)
from tests.support.payloads import FINANCE, data_event, kind, target
from tests.support.stores import MAPS, canonical, memory_store, reader
from tests.support.story import id_of

pytestmark = pytest.mark.requirement("R87")

ACCOUNT = main_account()
FLAT = {
    "JournalNumber": "J-1",
    "Voucher": "V-1",
    "AccountingDate": "2025-01-01",
    "PostingLayer": "Current",
    "LedgerAccount": f"{EXPENSE}-023-OU_1",
    "AccountingCurrencyAmount": "100.00",
    "DataArea": "uspm",
}
"""A row of the data entity, which has no header: Microsoft's GeneralJournalAccountEntryEntity."""


def flat(**columns: object) -> Change:
    return row("GeneralJournalAccountEntry", 1, {**FLAT, **columns})


def shown(events: Sequence[Change], accounts: LedgerAccounts = ACCOUNTS) -> list[str]:
    """The entries of a store, a line each: company, account, voucher, date, amount and currency, or what it lacks."""
    return [
        f"{item.company or '?'} {item.account or '?'} {item.voucher or '?'} {item.date or '?'} "
        f"{'?' if item.amount is None else f'{item.amount / 10_000:.2f}'} {item.currency or '?'}"
        + (f" lacks {item.lacks}" if item.lacks else "")
        for item in entries(ledger_store(events, accounts))
    ]


COUNTED = "USPM expense V-1 2025-01-01 100.00 USD"
CASES: dict[str, tuple[Sequence[Change], list[str]]] = {
    "an entry takes voucher, date and company from its header": ([ACCOUNT, header(), entry()], [COUNTED]),
    "a credit is negative": (
        [ACCOUNT, header(), entry(amount="-12.34")],
        ["USPM expense V-1 2025-01-01 -12.34 USD"],
    ),
    "an entry of another main account is none": ([main_account(1, "110180"), header(), entry()], []),
    "the vendor invoice account is the other one": (
        [main_account(1, PROCUREMENT), header(), entry()],
        ["USPM vendor-invoice-line V-1 2025-01-01 100.00 USD"],
    ),
    "the company is that of the ledger, also where the voucher is of another": (
        [ACCOUNT, header(Ledger=id_of("G2")), entry()],
        ["GBPM expense V-1 2025-01-01 100.00 EUR"],
    ),
    "without a ledger it is that of the voucher": ([ACCOUNT, header(Ledger=None), entry()], [COUNTED]),
    "without either it is not known": (
        [ACCOUNT, header(Ledger=None, SubledgerVoucherDataAreaId=None), entry()],
        ["? ? V-1 2025-01-01 100.00 ? lacks company"],
    ),
    "an entry before its header": ([ACCOUNT, entry()], ["? ? ? ? 100.00 ? lacks header"]),
    "an entry before its main account": (
        [header(), entry()],
        ["USPM ? V-1 2025-01-01 100.00 USD lacks main-account"],
    ),
    "an entry before both": ([entry()], ["? ? ? ? 100.00 ? lacks header"]),
    "a display value without a named number is of another main account": (
        [header(), entry(LedgerAccount="110180-160-23")],
        [],
    ),
    "a display value decides nothing while the main account is not known": (
        [header(), entry(LedgerAccount=f"{EXPENSE}-023")],
        ["USPM ? V-1 2025-01-01 100.00 USD lacks main-account"],
    ),
    "the posting layers Operations and Tax are left out": (
        [ACCOUNT, header(1, PostingLayer=1), entry(1), header(2, PostingLayer="Tax"), entry(2)],
        [],
    ),
    "a layer without a meaning is not guessed": (
        [ACCOUNT, header(PostingLayer=7), entry()],
        ["USPM expense V-1 2025-01-01 100.00 USD lacks layer"],
    ),
    "a header without a layer is of the layer Current": ([ACCOUNT, header(PostingLayer=None), entry()], [COUNTED]),
    "the opening and the closing period repeat balances": (
        [
            *(ACCOUNT, header(1, FiscalCalendarPeriod=id_of("M2")), entry(1)),
            *(header(2, FiscalCalendarPeriod=id_of("M3")), entry(2, "-100.00")),
        ],
        [],
    ),
    "a period that is not known is not guessed": (
        [ACCOUNT, header(FiscalCalendarPeriod=id_of("M9")), entry()],
        ["USPM expense V-1 2025-01-01 100.00 USD lacks period"],
    ),
    "a header without a period counts": ([ACCOUNT, header(FiscalCalendarPeriod=None), entry()], [COUNTED]),
    "an entry without an amount": (
        [ACCOUNT, header(), entry(amount=None)],
        ["USPM expense V-1 2025-01-01 ? USD lacks amount"],
    ),
    "an amount that is no number": (
        [ACCOUNT, header(), entry(amount="a lot")],
        ["USPM expense V-1 2025-01-01 ? USD lacks amount"],
    ),
    "an amount with more than four decimals is rounded": (
        [ACCOUNT, header(), entry(amount="100.00000000002")],
        [COUNTED],
    ),
    "a header without a date": (
        [ACCOUNT, header(AccountingDate="1900-01-01"), entry()],
        ["USPM expense V-1 ? 100.00 USD"],
    ),
    "several entries of one voucher": (
        [ACCOUNT, header(), entry(1), entry(2, "50.00", GeneralJournalEntry="5637200001")],
        [COUNTED, "USPM expense V-1 2025-01-01 50.00 USD"],
    ),
    "a deleted entry goes": ([ACCOUNT, header(), entry(), deleted(entry())], []),
    "an entry waits again when its header is deleted": (
        [ACCOUNT, header(), entry(), deleted(header())],
        ["? ? ? ? 100.00 ? lacks header"],
    ),
    "a row of the data entity has everything itself": ([flat()], [COUNTED]),
    "its display value begins with the main account": ([flat(LedgerAccount=f"023-{EXPENSE}")], []),
    "its display value may be the main account alone": ([flat(LedgerAccount=EXPENSE)], [COUNTED]),
    "a longer number is another main account": ([flat(LedgerAccount=f"{EXPENSE}1-023")], []),
    "a main account's number in a column of its own": ([flat(LedgerAccount=None, MainAccountId=EXPENSE)], [COUNTED]),
    "the layer of a row of the data entity": ([flat(PostingLayer="Operations")], []),
}


@pytest.mark.parametrize(("events", "expected"), CASES.values(), ids=CASES.keys())
def test_entries_of_the_integration_accounts(events: Sequence[Change], expected: list[str]) -> None:
    assert shown(events) == expected
    # The order of arrival has no influence, nor has the size of batches.
    backwards = ledger_store(reversed(events), cuts=[1])
    assert canonical(backwards) == canonical(ledger_store(events))


@pytest.mark.parametrize(
    ("expense", "procurement", "expected"),
    [
        ([EXPENSE], [], ["USPM expense", "GBPM expense"]),
        ([f"USPM={EXPENSE}"], [], ["USPM expense"]),
        ([EXPENSE, "GBPM=199999"], [], ["USPM expense"]),
        ([f"gbpm={EXPENSE}", "USPM=1", f"USPM={EXPENSE}"], [], ["USPM expense", "GBPM expense"]),
        ([EXPENSE], [f"GBPM={EXPENSE}"], ["USPM expense", "GBPM both"]),
        ([], [EXPENSE], ["USPM vendor-invoice-line", "GBPM vendor-invoice-line"]),
        ([], [], []),
    ],
)
def test_settings_name_main_accounts_for_every_company_or_for_one(
    expense: list[str], procurement: list[str], expected: list[str]
) -> None:
    accounts = LedgerAccounts(read_numbers(expense), read_numbers(procurement))
    events = [ACCOUNT, header(1), entry(1), header(2, Ledger=id_of("G2")), entry(2)]
    assert [line[: len(one)] for line, one in zip(shown(events, accounts), expected, strict=True)] == expected


def test_an_entry_follows_its_header_its_main_account_and_the_books() -> None:
    engine = memory_store()
    writer = Writer(engine, MAPS, accounts=ACCOUNTS)
    seen = []
    steps: list[list[Change]] = [
        [entry()],
        [header()],
        [ACCOUNT],
        books(),
        [header(minute=10, SubledgerVoucher="V-9")],
        [main_account(1, "110180", minute=10)],
        [main_account(1, EXPENSE, minute=20)],
        [entry(amount="70.00", minute=20)],
        [header(minute=30, FiscalCalendarPeriod=id_of("M3"))],
    ]
    for step in steps:
        write(writer, step)
        seen.append([(item.company, item.voucher, item.currency, item.lacks, item.amount) for item in entries(engine)])
    assert seen == [
        [("", "", "", "header", 1_000_000)],
        [("USPM", "V-1", "", "main-account", 1_000_000)],
        [("USPM", "V-1", "", "period", 1_000_000)],
        [("USPM", "V-1", "USD", "", 1_000_000)],
        [("USPM", "V-9", "USD", "", 1_000_000)],
        [],
        [("USPM", "V-9", "USD", "", 1_000_000)],
        [("USPM", "V-9", "USD", "", 700_000)],
        [],
    ]


def test_a_main_account_with_more_entries_than_a_batch_re_evaluates() -> None:
    headers = [header(1)]
    many = [entry(number, "1.00", GeneralJournalEntry="5637200001") for number in range(1, 1_203)]
    engine = ledger_store([*headers, *many, ACCOUNT])
    assert {item.lacks for item in entries(engine)} == {""}
    assert sum(item.amount or 0 for item in entries(engine)) == 1_202 * 10_000
    assert canonical(engine) == canonical(ledger_store([ACCOUNT, *headers, *many], cuts=[400]))


def codes(events: Sequence[Change]) -> set[str]:
    with reader(ledger_store(events)).snapshot() as snapshot:
        return {item.finding.code for item in snapshot.loose_findings(None)}


def test_what_cannot_be_read_is_a_finding_of_the_entry_unless_it_is_of_another_main_account() -> None:
    unreadable, imprecise = entry(1, "a lot"), entry(1, "1.000000002")
    assert codes([ACCOUNT, header(), unreadable]) == {"unknown-value"}
    assert codes([ACCOUNT, header(), imprecise]) == {"rounded"}
    assert codes([ACCOUNT, header(), unreadable, entry(1, "100.00", minute=5)]) == set()
    assert codes([main_account(1, "110180"), header(), unreadable, imprecise]) == set()


PAGE_OF_ENTRIES = {
    "@odata.context": f"{FINANCE}GeneralJournalAccountEntries",
    "value": [
        {
            "@odata.etag": 'W/"JzEsNTYzNzIwMDAwMSc="',
            "GeneralJournalEntry": 5637200001,
            "MainAccount": 5637200001,
            "LedgerAccount": f"{EXPENSE}-023-OU_1",
            "AccountingCurrencyAmount": 100.0,
            "TransactionCurrencyAmount": 100.0,
            "TransactionCurrencyCode": "USD",
            "IsCredit": "No",
            "PostingType": "ProjCost",
        }
    ],
}
"""As OData has them: choices by name, the RecId in the etag (`1,5637200001`)."""

PAGE_OF_HEADERS = {
    "@odata.context": f"{FINANCE}GeneralJournalEntries",
    "value": [
        {
            "@odata.etag": 'W/"JzEsNTYzNzIwMDAwMSc="',
            "Ledger": 5637144576,
            "AccountingDate": "2025-01-01T12:00:00Z",
            "SubledgerVoucher": "V-1",
            "SubledgerVoucherDataAreaId": "uspm",
            "JournalNumber": "000001_010",
            "PostingLayer": "Current",
            "FiscalCalendarPeriod": 0,
        }
    ],
}
PAGE_OF_MAIN_ACCOUNTS = {
    "@odata.context": f"{FINANCE}MainAccounts",
    "value": [{"@odata.etag": 'W/"JzEsNTYzNzIwMDAwMSc="', "MainAccountId": EXPENSE, "Name": "Integration account"}],
}


def decoded(*payloads: dict[str, Any], headers: Sequence[tuple[str, bytes]] = ()) -> list[Change]:
    place = StaticLocation("tieout.finance.changes", 0, 0)
    facts = [fact for value in payloads for fact in decode(json.dumps(value).encode(), headers, place)]
    # Events name entities as they know them.
    return [replace(fact, entity=MAPS.by_name[fact.entity].entity) for fact in facts if isinstance(fact, Change)]


def test_pages_of_finance_have_the_columns_of_the_tables() -> None:
    answered = [("tieout-answered-at", b"2025-01-08T08:00:00Z")]
    pages = (PAGE_OF_ENTRIES, PAGE_OF_HEADERS, PAGE_OF_MAIN_ACCOUNTS)
    assert shown(decoded(*pages, headers=answered)) == [COUNTED]


def test_data_events_are_of_the_virtual_entity_whose_rows_need_no_header() -> None:
    columns = {
        "mserp_generaljournalaccountentryrecid": 5637200001,
        "mserp_journalnumber": "000001_010",
        "mserp_voucher": "V-1",
        "mserp_accountingdate": "2025-01-01",
        "mserp_postinglayer": kind("OptionSetValue", Value=0),
        "mserp_ledgeraccount": f"{EXPENSE}-023-OU_1",
        "mserp_accountingcurrencyamount": 100.0,
        "mserp_dataarea": "uspm",
    }
    entity = "mserp_generaljournalaccountentryentity"
    inside = target(columns, LogicalName=entity, Id="00004951-0000-0000-5e1a-005001000000")
    event = data_event(PrimaryEntityName=entity, InputParameters=[{"key": "Target", "value": inside}])
    assert shown(decoded(event)) == [COUNTED]
