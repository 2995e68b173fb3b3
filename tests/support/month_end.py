"""A company made for a month end: ARDO at the end of 2024, its documents, its postings and its ledger.

| voucher | what | expense account | vendor invoice account |
| --- | --- | ---: | ---: |
| EXV-0, JV-0 | November: an expense of 100.00, cleared | 0.00 | |
| PIV-0, JV-8 | November: an invoice line of 300.00, cleared | | 0.00 |
| EXV-1, JV-1 | an expense of 250.00, cleared | 0.00 | |
| EXV-2, JV-2 | one voucher with two expenses, 80.00 and 120.00; the second has no actual | 120.00 | |
| EXV-4, JV-4 | an expense of 100.00 EUR, booked as 108.35 USD and cleared as 110.10 USD | -1.75 | |
| PIV-1 | an invoice line of 500.00, whose journal line is a draft | | 500.00 |
| JV-9 | a posted line of 75.00 for an expense that Dataverse deleted and Finance does not have | -75.00 | |
| GNJ-7 | a manual journal | 12.34 | |
| CLOSE-2024 | the year-end close, which takes both balances out and brings them forward | 0.00 | 0.00 |
| EXV-5, JV-5 | January: an expense of 60.00, cleared | 0.00 | |

The balances are 55.59 and 500.00, together 555.59.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from tests.support.ingest_lines import json_lines, row_change

EXPENSE_ACCOUNT: Final = "160500"
INVOICE_ACCOUNT: Final = "160600"

_PRELUDE: Final = Path(__file__).parents[1] / "cases" / "00-company.jsonl"
_LEDGER, _CALENDAR_YEARS = 201, {"2024": 324, "2025": 325}
_CLOSING_PERIOD, _OPENING_PERIOD = 202413, 202500
_OPENING, _CLOSING = 0, 2
_OWNER: Final = {"entity": "cdm_company", "id": "5d6664e7-bc99-11ef-a730-d8508e354909"}
_PINE: Final = {"entity": "msdyn_project", "id": "4880ce87-927e-11ef-a730-973dff1abf5b"}
_CURRENCIES: Final = {
    "USD": {"entity": "transactioncurrency", "id": "9037f814-755f-11ef-a730-9bddd7b3d512"},
    "EUR": {"entity": "transactioncurrency", "id": "651c948f-28b1-11ef-a730-0872cb347ee9"},
}
_COST, _EXPENSE_CLASS = 192350000, 192350001
_DRAFT, _POSTED = 0, 3


def _guid(name: str) -> str:
    return str(uuid5(UUID("b5bd9d5a-2f0c-4a71-9f5c-1f7c2f5e2a11"), name))


class _Books:
    """The events, each with the time of the day after its date."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._record = 5637900000
        self._headers: dict[tuple[str, str], int] = {}

    def finance(self, entity: str, day: str, record: int = 0, company: str | None = "ARDO", **columns: Any) -> int:
        """Add a row of Finance; returns its RecId."""
        self._record += 1
        record = record or self._record
        self._add("finance", entity, str(record), day, company, RecId=record, **columns)
        return record

    def dataverse(self, entity: str, name: str, day: str, **columns: Any) -> dict[str, str]:
        """Add a row of Dataverse; returns the reference to it."""
        self._add("dataverse", entity, _guid(name), day, None, **columns)
        return {"entity": entity, "id": _guid(name)}

    def delete(self, row: dict[str, str], day: str) -> None:
        """Delete a row of Dataverse."""
        self._add("dataverse", row["entity"], row["id"], day, None)
        data = self.events[-1]["value"]["data"]
        data["operation"] = "delete"
        del data["columns"]

    def _add(self, source: str, entity: str, row: str, day: str, company: str | None, **columns: Any) -> None:
        event = row_change(entity, row, f"{entity}-{row}-{len(self.events)}", source, **columns)
        event["value"]["time"] = f"{day}T{12 + len(self.events) // 60 % 12:02}:{len(self.events) % 60:02}:00Z"
        event["value"]["source"] = f"/{source}/harbour"
        event["value"]["data"]["company"] = company
        self.events.append(event)

    # --- the ledger --------------------------------------------------------------------------------------------------

    def enter(self, voucher: str, day: str, account: str, amount: str, period: int = 0) -> None:
        """Add an entry to a voucher of the ledger."""
        if (voucher, day) not in self._headers:
            self._headers[voucher, day] = self.finance(
                "GeneralJournalEntry",
                day,
                company=None,
                Ledger=_LEDGER,
                AccountingDate=day,
                SubledgerVoucher=voucher,
                SubledgerVoucherDataAreaId="ardo",
                JournalNumber=f"JN-{voucher}",
                PostingLayer=0,
                FiscalCalendarPeriod=period or int(day[:4] + day[5:7]),
            )
        self.finance(
            "GeneralJournalAccountEntry",
            day,
            company=None,
            GeneralJournalEntry=self._headers[voucher, day],
            MainAccount=int(account),
            AccountingCurrencyAmount=amount,
        )

    # --- documents ---------------------------------------------------------------------------------------------------

    def expense(
        self,
        number: int,
        day: str,
        amount: str,
        voucher: str,
        currency: str = "USD",
        booked: str = "",
        rate: str = "100",
    ) -> dict[str, str]:
        """Post an expense; returns its Dataverse record."""
        self.finance(
            "TrvExpTrans",
            day,
            ProjTransId=f"EX-{number}",
            AmountCurr=amount,
            AmountMST=booked or amount,
            ExchangeCode=currency,
            ExchangeRate=rate,
            ApprovalStatus=6,
            Voucher=voucher,
            TransDate=day,
            ProjId="PINE",
            CostType="Hotel",
        )
        self.enter(voucher, day, EXPENSE_ACCOUNT, booked or amount)
        return self.dataverse(
            "msdyn_expense",
            f"expense {number}",
            day,
            assumed_externalexpenseid=f"EX-{number}",
            msdyn_amount=amount,
            transactioncurrencyid=_CURRENCIES[currency],
            msdyn_expensestatus=192350001,
            statecode=0,
            msdyn_project=_PINE,
            assumed_owningcompany=_OWNER,
        )

    def actual(
        self,
        name: str,
        day: str,
        amount: str,
        source: dict[str, str],
        currency: str = "USD",
        accounting: str = "",
    ) -> str:
        """Create a cost actual; returns its id."""
        self.dataverse(
            "msdyn_actual",
            f"actual {name}",
            day,
            msdyn_transactiontypecode=_COST,
            msdyn_transactionclassification=_EXPENSE_CLASS if source["entity"] == "msdyn_expense" else None,
            msdyn_amount=amount,
            transactioncurrencyid=_CURRENCIES[currency],
            msdyn_accountingdate=day,
            msdyn_documentdate=day,
            assumed_skipsync=False,
            assumed_owningcompany=_OWNER,
            msdyn_project=_PINE,
            assumed_sourcedocument=source,
            assumed_accountingamount=accounting or amount,
        )
        return _guid(f"actual {name}")

    def journal_line(
        self,
        day: str,
        actual: str,
        amount: str,
        voucher: str = "",
        account: str = EXPENSE_ACCOUNT,
        currency: str = "USD",
        rate: str = "100",
        accounting: str = "",
    ) -> None:
        """Import an actual into a journal of its own and, with a voucher, post it."""
        status = _POSTED if voucher else _DRAFT
        journal = self.finance("ProjAdvancedJournal", day, ProjAdvancedJournalId=f"J-{voucher or day}", Status=status)
        line = self.finance(
            "ProjAdvancedJournalLine",
            day,
            ProjAdvancedJournal=journal,
            Status=status,
            Voucher=voucher or None,
            ExtendedCost=amount,
            CostCurrency=currency,
            CostExchangeRate=rate,
            AccountingDate=day,
            ProjId="PINE",
        )
        self.finance(
            "ProjCDSActualsImport",
            day,
            ActualId=actual,
            Amount=amount,
            TransactionCurrencyId=currency,
            ProjAdvancedJournalLine=line,
            VoucherNumber=voucher or None,
            AccountingDate=day,
            ProjectId="PINE",
            DataAreaId="ardo",
            ExchangeRate=rate,
            AccountingAmount=accounting or amount,
        )
        if voucher:
            self.enter(voucher, day, account, f"-{accounting or amount}")

    def invoice_line(self, number: int, day: str, amount: str) -> dict[str, str]:
        """Post an invoice with one line; returns the Dataverse record of the line."""
        source = self._record + 900
        pending = self.finance(
            "VendInvoiceInfoLine",
            day,
            InvoiceAccount="NOOR",
            LineNum="1",
            ReceiveNow="1",
            LineAmount=amount,
            currencyCode="USD",
            SourceDocumentLine=source,
        )
        self.finance(
            "VendInvoiceInfoLine_Project",
            day,
            VendInvoiceInfoLineRefRecId=pending,
            ProjId="PINE",
            ProjDataAreaId="ARDO",
            ProjCategoryId="Materials",
            ProjTransId=f"VI-{number}",
        )
        invoice: dict[str, Any] = {"InvoiceId": f"B-{number}", "InvoiceDate": day, "CurrencyCode": "USD"}
        voucher = f"PIV-{number}"
        self.finance("VendInvoiceJour", day, InvoiceAccount="NOOR", LedgerVoucher=voucher, ExchRate="100", **invoice)
        self.finance(
            "VendInvoiceTrans",
            day,
            LineNum="1",
            Qty="1",
            LineAmount=amount,
            LineAmountMST=amount,
            SourceDocumentLine=source,
            **invoice,
        )
        self.enter(voucher, day, INVOICE_ACCOUNT, amount)
        return self._invoice_record(number, day)

    def _invoice_record(self, number: int, day: str) -> dict[str, str]:
        header = self.dataverse(
            "msdyn_projectvendorinvoice",
            f"invoice {number}",
            day,
            msdyn_vendorinvoicenumber=f"B-{number}",
            statecode=0,
            msdyn_owningcompany=_OWNER,
        )
        return self.dataverse(
            "msdyn_projectvendorinvoiceline",
            f"invoice line {number}",
            day,
            msdyn_externalinvoiceline=f"VI-{number}",
            msdyn_vendorinvoice=header,
            transactioncurrencyid=_CURRENCIES["USD"],
            statecode=0,
            msdyn_owningcompany=_OWNER,
            msdyn_project=_PINE,
        )


def month_end() -> list[bytes]:
    """Return the events as lines for `tieout ingest`."""
    books = _Books()
    _set_up(books)
    for number, day, amount, cleared in (
        (0, "2024-11-20", "100.00", "2024-11-28"),
        (1, "2024-12-10", "250.00", "2024-12-20"),
        (5, "2025-01-03", "60.00", "2025-01-07"),
    ):
        record = books.expense(number, day, amount, f"EXV-{number}")
        books.journal_line(cleared, books.actual(str(number), cleared, amount, record), amount, f"JV-{number}")
    record = books.expense(2, "2024-12-15", "80.00", "EXV-2")
    books.expense(3, "2024-12-15", "120.00", "EXV-2")
    books.journal_line("2024-12-28", books.actual("2", "2024-12-16", "80.00", record), "80.00", "JV-2")
    record = books.expense(4, "2024-12-18", "100.00", "EXV-4", "EUR", "108.35", "108.35")
    actual = books.actual("4", "2024-12-18", "100.00", record, "EUR", "110.10")
    books.journal_line("2024-12-30", actual, "100.00", "JV-4", currency="EUR", rate="110.10", accounting="110.10")
    line = books.invoice_line(0, "2024-11-25", "300.00")
    actual = books.actual("invoice 0", "2024-11-26", "300.00", line)
    books.journal_line("2024-11-29", actual, "300.00", "JV-8", INVOICE_ACCOUNT)
    line = books.invoice_line(1, "2024-12-20", "500.00")
    books.journal_line("2024-12-28", books.actual("invoice 1", "2024-12-21", "500.00", line), "500.00")
    record = books.dataverse("msdyn_expense", "expense 9", "2024-12-29", msdyn_amount="75.00")
    books.journal_line("2024-12-29", books.actual("9", "2024-12-29", "75.00", record), "75.00", "JV-9")
    books.delete(record, "2024-12-30")
    books.enter("GNJ-7", "2024-12-31", EXPENSE_ACCOUNT, "12.34")
    for account, balance in ((EXPENSE_ACCOUNT, "55.59"), (INVOICE_ACCOUNT, "500.00")):
        books.enter("CLOSE-2024", "2024-12-31", account, f"-{balance}", _CLOSING_PERIOD)
        books.enter("CLOSE-2024", "2025-01-01", account, balance, _OPENING_PERIOD)
    return list(_lines(books.events))


def _set_up(books: _Books) -> None:
    """Add the main accounts and the periods of a year-end close."""
    for account in (EXPENSE_ACCOUNT, INVOICE_ACCOUNT):
        books.finance("MainAccount", "2024-09-01", int(account), None, MainAccountId=account, Name="Integration")
    for period, day, kind in ((_CLOSING_PERIOD, "2024-12-31", _CLOSING), (_OPENING_PERIOD, "2025-01-01", _OPENING)):
        year = _CALENDAR_YEARS[day[:4]]
        columns = {"FiscalCalendarYear": year, "StartDate": day, "EndDate": day, "Type": kind}
        books.finance("FiscalCalendarPeriod", "2024-09-01", period, None, **columns)


def _lines(events: list[dict[str, Any]]) -> Iterator[bytes]:
    yield from _PRELUDE.read_bytes().splitlines(keepends=True)
    yield from json_lines(*events).splitlines(keepends=True)
