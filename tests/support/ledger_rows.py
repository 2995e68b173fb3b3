"""Rows of the ledger as changes, and stores that read them."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import Engine, select

from engine.events.facts import Change, Evidence
from engine.reconciliation.ledger_accounts import LedgerAccounts, read_numbers
from engine.reconciliation.ledger_entries import LedgerEntry
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from store.schema import tables
from tests.support.stores import MAPS, apply, memory_store
from tests.support.story import BEGINNING, MINUTE, changes, id_of

EXPENSE: Final = "160500"
PROCUREMENT: Final = "160600"
ACCOUNTS: Final = LedgerAccounts(read_numbers([EXPENSE]), read_numbers([PROCUREMENT]))

BOOKS: Final = """
    00:00   company    K1   USPM
    00:00   ledger     G1   USD company=K1
    00:00   company    K2   GBPM
    00:00   ledger     G2   EUR company=K2
    00:00   period     M1   2025-01-01 until=2025-01-31
    00:00   period     M2   2025-01-01 until=2025-01-01 type=opening
    00:00   period     M3   2024-12-31 until=2024-12-31 type=closing
"""
"""Two companies, a month, and the periods of a year-end close."""


def books() -> list[Change]:
    return changes(BOOKS)


def row(entity: str, number: int, columns: dict[str, Any] | None, minute: int = 0) -> Change:
    """A change of a row; without columns it is deleted."""
    at = BEGINNING + minute * MINUTE
    digest = blake2b(f"{entity} {number} {columns} {at}".encode(), digest_size=16).digest()
    evidence = Evidence(at, 0, digest, "/finance/ledger", f"{entity}/{number}@{minute}")
    if columns is None:
        return Change("delete", "finance", entity, str(5637200000 + number), evidence, {})
    return Change("upsert", "finance", entity, str(5637200000 + number), evidence, columns)


def main_account(number: int = 1, account: str = EXPENSE, minute: int = 0) -> Change:
    return row("MainAccount", number, {"MainAccountId": account, "Name": "Integration account"}, minute)


def header(number: int = 1, minute: int = 0, **columns: Any) -> Change:
    """The header of a voucher of USPM, posted in January; `columns` change it, None takes one away."""
    usual = {
        "Ledger": id_of("G1"),
        "SubledgerVoucher": f"V-{number}",
        "SubledgerVoucherDataAreaId": "uspm",
        "AccountingDate": f"2025-01-{number:02}",
        "JournalNumber": f"J-{number}",
        "PostingLayer": 0,
        "FiscalCalendarPeriod": id_of("M1"),
    }
    return row("GeneralJournalEntry", number, _without_none({**usual, **columns}), minute)


def entry(number: int = 1, amount: str | None = "100.00", minute: int = 0, **columns: Any) -> Change:
    """An entry of the voucher of the same number, on the first main account."""
    usual = {
        "GeneralJournalEntry": str(5637200000 + number),
        "MainAccount": str(5637200001),
        "AccountingCurrencyAmount": amount,
    }
    return row("GeneralJournalAccountEntry", number, _without_none({**usual, **columns}), minute)


def deleted(change: Change, minute: int = 30) -> Change:
    """The delete of the row of a change."""
    return row(change.entity, int(change.id) - 5637200000, None, minute)


def _without_none(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if value is not None}


def write(writer: Writer, events: Iterable[Change], cuts: Sequence[int] = (1_000,)) -> None:
    """Apply changes in batches of these sizes, repeated, and complete what they put off."""
    waiting, number = list(events), 0
    while waiting:
        size = cuts[number % len(cuts)]
        batch = DecodedBatch()
        batch.changes += [(change, MAPS.entities[change.entity]) for change in waiting[:size]]
        apply(writer, batch)
        waiting, number = waiting[size:], number + 1
    while writer.recompute():
        pass


def ledger_store(
    events: Iterable[Change], accounts: LedgerAccounts = ACCOUNTS, cuts: Sequence[int] = (1_000,)
) -> Engine:
    """A store of the books that was given these changes."""
    engine = memory_store()
    write(Writer(engine, MAPS, accounts=accounts), [*books(), *events], cuts)
    return engine


def entries(engine: Engine) -> list[LedgerEntry]:
    with engine.connect() as connection:
        rows = connection.execute(select(tables.ledger_entries).order_by(tables.ledger_entries.c.key))
        return [LedgerEntry(*row) for row in rows]


CHART: Final = [main_account(1, EXPENSE), main_account(2, PROCUREMENT)]
# 100 and 40 were booked with one voucher, 60 with V-2; these are cleared with PJ-1.
DOCUMENTS: Final = """
    08:00   expense   E1   100.00 id=T1 voucher=V-1
    08:00   expense   E2   40.00 id=T2 voucher=V-1
    08:00   expense   E3   60.00 id=T3 voucher=V-2
    08:10   record    R3   approved of=T3
    08:20   actual    A3   60.00 of=R3 voucher=PJ-1
    08:30   journal   J3   number=USPM-041
    08:40   line      L3   posted 60.00 currency=USD voucher=PJ-1 in=J3 accounting-date=2025-01-08
    08:50   staging   S3   60.00 of=A3 line=L3 voucher=PJ-1
"""

# The documents are of 8 January. V-1 was posted in February, V-2 on its day, and PJ-1 in March.
LATER: Final = [
    *(header(1, SubledgerVoucher="V-1", AccountingDate="2025-02-03"), entry(1, "140.00")),
    *(header(2, SubledgerVoucher="V-2", AccountingDate="2025-01-08"), entry(2, "60.00")),
    *(header(3, SubledgerVoucher="PJ-1", AccountingDate="2025-03-01"), entry(3, "-60.00")),
    *(header(4, SubledgerVoucher="GJ-7", AccountingDate="2025-02-10"), entry(4, "12.50")),
]
