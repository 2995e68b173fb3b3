"""General journals posted in Finance, and the contract lines by which Dataverse bills them.

They exist when the pair starts, and send no events: Finance has none for them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tieout.simulator.pair.change_feed import ChangeFeed
from tieout.simulator.pair.current_rows import SimulatedRow
from tieout.simulator.scenario import Columns
from tieout.simulator.small import UNTIL

TIME_AND_MATERIAL, FIXED_PRICE = 192350000, 192350001
CONTRACT_LINES = {"CL-000101": TIME_AND_MATERIAL, "CL-000102": FIXED_PRICE}
"""Billing methods of the contract lines by number."""

_HEADER, _LINE, _PART = 5541230, 5431130, 5299410


@dataclass(frozen=True, slots=True)
class ProjectPart:
    """The project tab of a line; without a contract line no contract line bills it."""

    project: str
    category: str
    contract_line: str = ""
    quantity: str = "1.00"
    sales_price: str = "0.00"
    sales_currency: str = "USD"


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A line of a ledger journal, with its cost; a line without a project is in the ledger only."""

    cost: str
    part: ProjectPart | None = None
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class LedgerJournal:
    """A ledger journal, posted at the end of its day or not yet."""

    company: str
    number: str
    day: date
    lines: tuple[LedgerLine, ...]
    posted: bool = True


_HARBOUR = ProjectPart("P-001002-D", "Car-Expense", "CL-000101", "2.00", "150.00")
JOURNALS = (
    LedgerJournal(
        "USPM",
        "USPM-000095",
        date(2025, 1, 6),
        (
            LedgerLine("240.00", _HARBOUR),
            LedgerLine("75.50", ProjectPart("P-001002-D", "Taxi-Expense", "CL-000101")),
            LedgerLine("410.25", ProjectPart("P-001003-D", "Hotel-Expense", "CL-000102", "3.00", "160.00")),
            LedgerLine("18.00"),
        ),
    ),
    LedgerJournal(
        "USPM",
        "USPM-000096",
        date(2025, 1, 7),
        (LedgerLine("99.99", ProjectPart("P-001000-D", "Meals-Expense", sales_currency="EUR"), "EUR"),),
    ),
    LedgerJournal("USPM", "USPM-000097", date(2025, 1, 7), (LedgerLine("1250.00"), LedgerLine("-1250.00"))),
    LedgerJournal("USPM", "USPM-000098", date(2025, 1, 8), (LedgerLine("60.00", _HARBOUR),), posted=False),
    LedgerJournal(
        "GBPM",
        "GBPM-000012",
        date(2025, 1, 7),
        (LedgerLine("310.40", ProjectPart("P-002000-G", "Flight-Expense", sales_currency="GBP"), "GBP"),),
    ),
)
"""Time and material with and without a sales price, fixed price, no contract line; without projects; a draft; and one
of another company.
"""

STUCK = LedgerJournal(
    "USPM",
    "USPM-000101",
    date(2025, 1, 6),
    (LedgerLine("1180.00", ProjectPart("P-001004-D", "Hours-Hour", "CL-000101", "8.00", "210.00")),),
)
"""Its project is missing in Dataverse, so every attempt for its line fails. Not among the initial journals."""

RETRIED = LedgerJournal(
    "USPM",
    "USPM-000102",
    date(2025, 1, 7),
    (LedgerLine("364.40", ProjectPart("P-001003-D", "Materials-Item", "CL-000103", "4.00", "120.00")),),
)
"""The same with a missing contract line."""


def post_journals(feed: ChangeFeed) -> None:
    """Add the journals to Finance and the contract lines to Dataverse."""
    for row in (*_ledger(JOURNALS), *_contract_lines()):
        feed.tables[row.entity].rows[row.id] = row


def add_journal(feed: ChangeFeed, journal: LedgerJournal) -> None:
    """Add one more posted journal to Finance."""
    row_counts = {entity: len(feed.tables[entity].rows) for entity in _FIRST}
    for row in _ledger((journal,), row_counts):
        feed.tables[row.entity].rows[row.id] = row


_FIRST = {"LedgerJournalTable": _HEADER, "LedgerJournalTrans": _LINE, "LedgerJournalTrans_Project": _PART}


def _ledger(journals: tuple[LedgerJournal, ...], row_counts: dict[str, int] | None = None) -> Iterator[SimulatedRow]:
    next_records = {entity: first + (row_counts or {}).get(entity, 0) for entity, first in _FIRST.items()}

    def row(entity: str, company: str, columns: Columns) -> SimulatedRow:
        record = str(next_records[entity])
        next_records[entity] += 1
        return SimulatedRow(entity, record, columns, 1, UNTIL, company)

    for journal in journals:
        posted_at = f"{journal.day}T17:45:00Z" if journal.posted else "1900-01-01T00:00:00Z"
        yield row(
            "LedgerJournalTable",
            journal.company,
            {
                "JournalNum": journal.number,
                "JournalName": "GenJrn",
                "Posted": "Yes" if journal.posted else "No",
                "PostedDateTime": posted_at,
                "NumOfLines": len(journal.lines),
            },
        )
        for number, line in enumerate(journal.lines, 1):
            ledger_line = row(
                "LedgerJournalTrans",
                journal.company,
                {
                    "JournalNum": journal.number,
                    "LineNum": f"{number}.0000000000",
                    "Voucher": f"{journal.number}-{number:02d}",
                    "TransDate": journal.day.isoformat(),
                    "AccountType": "Project" if line.part else "Ledger",
                    "AmountCurDebit": line.cost if not line.cost.startswith("-") else "0.00",
                    "AmountCurCredit": line.cost[1:] if line.cost.startswith("-") else "0.00",
                    "CurrencyCode": line.currency,
                },
            )
            yield ledger_line
            if line.part is not None:
                yield row(
                    "LedgerJournalTrans_Project", journal.company, _part(line.part, ledger_line, line, journal.day)
                )


def _part(part: ProjectPart, line: SimulatedRow, written: LedgerLine, day: date) -> Columns:
    return {
        "RefRecId": int(line.id),
        "ProjId": part.project,
        "CategoryId": part.category,
        "Qty": part.quantity,
        "CostPrice": f"{Decimal(written.cost) / Decimal(part.quantity):.2f}",
        "SalesPrice": part.sales_price,
        "SalesCurrencyId": part.sales_currency,
        "ProjTransDate": day.isoformat(),
        "assumed_contractline": part.contract_line,
    }


def _contract_lines() -> Iterator[SimulatedRow]:
    for number, (name, billing) in enumerate(CONTRACT_LINES.items(), 1):
        row = f"00000000-0000-4000-9000-{number:012d}"
        columns: Columns = {"assumed_contractlinenumber": name, "msdyn_billingmethod": billing}
        yield SimulatedRow("salesorderdetail", row, columns, 1, UNTIL)
