"""From the approval of a cost to its posting: actual, staging row, integration journal, write-back."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from tieout.simulator.amounts import rounded
from tieout.simulator.event_recorder import EventRecorder, text_time
from tieout.simulator.reference import ReferenceIds, dataverse_rate_text, rate_text
from tieout.simulator.scenario import Columns

COST, UNBILLED_SALES, BILLED_SALES = 192350000, 192350005, 192350006
TIME, EXPENSE, MATERIAL = 192350000, 192350001, 192350002
CHARGEABLE, UNBILLED_SALES_CREATED = 192350001, 192350000
ADJUSTED, UNADJUSTABLE = 192350001, 192350002
DRAFT, ERROR, PROCESSING, POSTED, UNRECOVERABLE, INVALID = 0, 1, 2, 3, 4, 5

CENT = Decimal("0.01")
SALES_MARKUP = Decimal("1.20")
_UPPER_CASE_EVERY = 7
_NO_OVERRIDES: Columns = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLine:
    """Base of an expense line and a vendor invoice line; by itself a consultant's hours. `rate` is the Finance rate,
    times 100. `classification` is the class of its actuals.
    """

    classification: ClassVar[int] = TIME

    transaction: str
    date: date
    amount: Decimal
    category: str
    project: str
    company: str = "USPM"
    currency: str = "USD"
    rate: Decimal = Decimal(100)
    accounting_currency: str = "USD"

    def accounting(self, amount: Decimal) -> Decimal:
        """Return an amount of this line in accounting currency."""
        return rounded(amount * self.rate / 100, self.accounting_currency)


@dataclass(slots=True)
class IntegrationJournal:
    """An integration journal."""

    record: int
    number: str
    company: str
    lines: int = 0


@dataclass(slots=True)
class Actual:
    """An actual with the rows it has so far. Finance posts `accounting` and writes it back."""

    row: str
    line: DocumentLine
    amount: Decimal
    accounting: Decimal
    kind: int = COST
    staging: int = 0
    journal: IntegrationJournal | None = None
    journal_line: int = 0
    voucher: str = ""
    origin: str = ""
    """The transaction origin row that links it to its source, if any."""


@dataclass(frozen=True, slots=True)
class Posting:
    """A posted line of a cost: what it took out of the account of a company, in its accounting currency."""

    company: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """The Dataverse record from which an actual is created.

    The actual refers to it by a `lookup` column, by a transaction `origin` row, or both.
    """

    entity: str
    row: str
    classification: int
    lookup: bool = True
    origin: bool = False


@dataclass(slots=True)
class ActualFlow:
    """Moves actuals from Dataverse through the integration journal and back."""

    recorder: EventRecorder
    reference_ids: ReferenceIds
    lines_per_journal: int = 200
    """Default parameter of Finance."""
    postings: list[Posting] = field(default_factory=list)
    """The posted lines of costs that no story has accounted for yet."""
    _journals: int = 40
    _vouchers: int = 50
    _staged: int = 0
    _daily: dict[tuple[str, datetime], IntegrationJournal] = field(default_factory=dict)

    def actual(
        self,
        line: DocumentLine,
        source: SourceRecord | None,
        at: datetime,
        *,
        amount: Decimal | None = None,
        kind: int = COST,
        skip_sync: bool = False,
        adjustment: int | None = None,
        invoice: str = "",
        overrides: Columns = _NO_OVERRIDES,
    ) -> Actual:
        """Create an actual in Dataverse, by default a cost actual of the whole line.

        `invoice` is the proforma invoice that bills it; `overrides` replace columns.
        """
        amount = line.amount if amount is None else amount
        created = Actual(self.recorder.guid(at), line, amount, line.accounting(amount), kind)
        columns = self._actual_columns(created, source.classification if source else line.classification)
        columns |= {"assumed_skipsync": skip_sync, "msdyn_adjustmentstatus": adjustment}
        if source and source.lookup:
            reference = {"entity": source.entity, "id": source.row, "name": None}
            columns["assumed_sourcedocument"] = reference
        if invoice:
            columns["msdyn_invoice"] = {"entity": "invoice", "id": invoice, "name": None}
        self.recorder.dataverse_created("msdyn_actual", created.row, at, columns | overrides)
        if source and source.origin:
            created.origin = self._origin(created, source, at + timedelta(seconds=1))
        return created

    def unbilled_sales(self, cost: Actual, source: SourceRecord, at: datetime) -> Actual:
        """Create the sales actual of a cost actual and connect the two."""
        sales_amount = rounded(cost.amount * SALES_MARKUP, cost.line.currency)
        sales = self.actual(cost.line, source, at, amount=sales_amount, kind=UNBILLED_SALES)
        self.connect((sales, "Unbilled Sales"), (cost, "Cost"), at + timedelta(seconds=2))
        return sales

    def reverse(self, original: Actual, source: SourceRecord | None, at: datetime) -> Actual:
        """Create the reversing actual, with the opposite amount, of an actual."""
        reversal = self.actual(original.line, source, at, amount=-original.amount, adjustment=UNADJUSTABLE)
        self.connect((reversal, "Reversing"), (original, "Original"), at + timedelta(seconds=2))
        change = {"msdyn_adjustmentstatus": ADJUSTED}
        self.recorder.dataverse_updated("msdyn_actual", original.row, at + timedelta(seconds=3), change)
        return reversal

    def replace(self, original: Actual, source: SourceRecord | None, at: datetime) -> Actual:
        """Create the actual that replaces a reversed one."""
        replacement = self.actual(original.line, source, at, amount=original.amount)
        self.connect((replacement, "Replacing"), (original, "Original"), at + timedelta(seconds=2))
        return replacement

    def connect(self, first: tuple[Actual, str], second: tuple[Actual, str], at: datetime) -> None:
        """Record the connection of two actuals."""
        columns: Columns = {}
        for number, (actual, role) in enumerate((first, second), start=1):
            columns[f"msdyn_transaction{number}"] = actual.row
            columns[f"msdyn_transaction{number}role"] = role
            columns[f"msdyn_transaction{number}type"] = "msdyn_actual"
        self.recorder.dataverse_created("msdyn_transactionconnection", self.recorder.guid(at), at, columns)

    def stage(self, actual: Actual, at: datetime, *, proposal: str = "", overrides: Columns = _NO_OVERRIDES) -> None:
        """Copy the actual into the staging table, as dual-write does; billed sales name their invoice proposal."""
        named: Columns = {"InvoiceProposalId": proposal} if proposal else {}
        actual.staging = self._staging_row(actual, at, named | overrides, duplicate=False)

    def stage_twice(self, actual: Actual, at: datetime) -> int:
        """Stage the same actual again; Finance marks the row as a duplicate. Returns the RecId of the row."""
        return self._staging_row(actual, at, _NO_OVERRIDES, duplicate=True)

    def journal(self, company: str, at: datetime, *, status: int = DRAFT) -> IntegrationJournal:
        """Open an integration journal, as import from staging does."""
        self._journals += 1
        journal = IntegrationJournal(
            self.recorder.record_id("ProjAdvancedJournal"), f"{company}-{self._journals:06d}", company
        )
        columns: Columns = {"ProjAdvancedJournalId": journal.number, "Status": status}
        columns["Description"] = f"Project Operations integration journal {at.date().isoformat()}"
        self.recorder.finance_changed("ProjAdvancedJournal", journal.record, at, columns, company)
        return journal

    def daily_journal(self, company: str, imported: datetime, posted: datetime) -> IntegrationJournal:
        """Return the journal of an import run whose lines are all posted together."""
        key = company, imported
        if key not in self._daily or self._daily[key].lines >= self.lines_per_journal:
            journal = self.journal(company, imported)
            columns: Columns = {"Status": POSTED, "PostedDateTime": text_time(posted), "PostedUserId": "batch"}
            self.recorder.finance_changed("ProjAdvancedJournal", journal.record, posted, columns, company)
            self._daily[key] = journal
        return self._daily[key]

    def import_line(
        self,
        actual: Actual,
        journal: IntegrationJournal,
        at: datetime,
        *,
        status: int | None = DRAFT,
        event_sent: bool = True,
        overrides: Columns = _NO_OVERRIDES,
    ) -> None:
        """Create a journal line and name it on the staging row, as import from staging does.

        With `event_sent=False` the line itself sends no event.
        """
        self._vouchers += 1
        journal.lines += 1
        actual.journal, actual.journal_line = journal, self.recorder.record_id("ProjAdvancedJournalLine")
        actual.voucher = f"{journal.company}-2{self._vouchers:05d}"
        if event_sent:
            columns = self._line_columns(actual, journal) | ({} if status is None else {"Status": status}) | overrides
            self.recorder.finance_changed(
                "ProjAdvancedJournalLine", actual.journal_line, at, columns, actual.line.company
            )
        self.rename_line(actual, actual.journal_line, at + timedelta(seconds=1))

    def rename_line(self, actual: Actual, journal_line: int, at: datetime) -> None:
        """Change the journal line that the staging row names."""
        columns: Columns = {"ProjAdvancedJournalLine": journal_line}
        self.recorder.finance_changed("ProjCDSActualsImport", actual.staging, at, columns, actual.line.company)

    def set_status(self, actual: Actual, status: int, at: datetime) -> None:
        """Change the status of the journal line."""
        company = actual.line.company
        self.recorder.finance_changed("ProjAdvancedJournalLine", actual.journal_line, at, {"Status": status}, company)

    def move(self, actual: Actual, journal: IntegrationJournal, at: datetime) -> None:
        """Transfer a failed line to a new journal; it stays the same line."""
        actual.journal = journal
        journal.lines += 1
        columns: Columns = {"ProjAdvancedJournal": journal.record, "LineNumber": f"{journal.lines}.0000000000"}
        columns["Status"] = DRAFT
        self.recorder.finance_changed("ProjAdvancedJournalLine", actual.journal_line, at, columns, actual.line.company)

    def delete_line(self, actual: Actual, at: datetime) -> None:
        """Delete the journal line before it is posted."""
        self.recorder.finance_deleted("ProjAdvancedJournalLine", actual.journal_line, at, actual.line.company)

    def post(
        self,
        actual: Actual,
        at: datetime,
        *,
        line_event_sent: bool = True,
        staging: bool = True,
        write_back: bool = True,
    ) -> None:
        """Post the journal line; `staging` and `write_back` copy the result to the staging row and to the actual."""
        line = actual.line
        if actual.kind == COST:
            self.postings.append(Posting(line.company, actual.accounting))
        if line_event_sent:
            self.set_status(actual, POSTED, at)
        if staging:
            columns: Columns = {"VoucherNumber": actual.voucher, "IsProcessed": 1}
            columns["AccountingAmount"] = str(actual.accounting)
            later = at + timedelta(seconds=1)
            self.recorder.finance_changed("ProjCDSActualsImport", actual.staging, later, columns, line.company)
        if write_back:
            self._write_back(actual, at + timedelta(seconds=2))

    def post_alone(self, line: DocumentLine, amount: Decimal, journal: IntegrationJournal, at: datetime) -> int:
        """Post a journal line of a cost that no staging row names; return its RecId."""
        self._vouchers += 1
        journal.lines += 1
        actual = Actual("", line, amount, line.accounting(amount), voucher=f"{journal.company}-2{self._vouchers:05d}")
        actual.journal_line = self.recorder.record_id("ProjAdvancedJournalLine")
        columns = self._line_columns(actual, journal) | {"Status": DRAFT}
        self.recorder.finance_changed("ProjAdvancedJournalLine", actual.journal_line, at, columns, line.company)
        self.post(actual, at + timedelta(hours=5), staging=False, write_back=False)
        return actual.journal_line

    def import_and_post(
        self, actual: Actual, imported: datetime, posted: datetime, *, overrides: Columns = _NO_OVERRIDES
    ) -> None:
        """Import an actual in the run of `imported` and post it: the usual end of the flow."""
        journal = self.daily_journal(actual.line.company, imported, posted)
        step = timedelta(seconds=5 * (journal.lines + 1))
        self.import_line(actual, journal, imported + step, overrides=overrides)
        self.post(actual, posted + step)

    def _write_back(self, actual: Actual, at: datetime) -> None:
        column = "assumed_vouchernumber" if actual.journal_line % 3 else "msdyn_externalreferenceid"
        columns: Columns = {column: actual.voucher}
        columns["assumed_accountingamount"] = str(actual.accounting)
        self.recorder.dataverse_updated("msdyn_actual", actual.row, at, columns)

    def _actual_columns(self, actual: Actual, classification: int) -> Columns:
        line, amount = actual.line, actual.amount
        day = f"{line.date.isoformat()}T00:00:00Z"
        columns: Columns = {
            "msdyn_description": line.category,
            "msdyn_transactionclassification": classification,
            "msdyn_transactiontypecode": actual.kind,
            "msdyn_accountingdate": line.date.isoformat(),
            "msdyn_documentdate": day,
            "msdyn_startdatetime": day,
            "msdyn_amount": str(amount),
            "msdyn_amount_base": str(line.accounting(amount)),
            "msdyn_price": str(amount),
            "msdyn_quantity": "1.0000000000",
            "exchangerate": dataverse_rate_text(line.rate),
            "transactioncurrencyid": self.reference_ids.lookup("transactioncurrency", line.currency),
            "msdyn_billingtype": CHARGEABLE,
            "msdyn_project": self.reference_ids.lookup("msdyn_project", line.project),
            "msdyn_transactioncategory": self.reference_ids.lookup("msdyn_transactioncategory", line.category),
            "msdyn_externalreferenceid": None,
            "assumed_owningcompany": self.reference_ids.lookup("cdm_company", line.company, named=True),
            "statecode": 0,
            "statuscode": 1,
        }
        if actual.kind == UNBILLED_SALES:
            columns["msdyn_billingstatus"] = UNBILLED_SALES_CREATED
        return columns

    def _origin(self, actual: Actual, source: SourceRecord, at: datetime) -> str:
        origin_type = "Expense" if source.classification == EXPENSE else "Project vendor invoice line"
        columns = {
            "msdyn_origin": source.row,
            "msdyn_origintype": origin_type,
            "msdyn_transaction": actual.row,
            "msdyn_transactiontype": "msdyn_actual",
        }
        row = self.recorder.guid(at)
        self.recorder.dataverse_created("msdyn_transactionorigin", row, at, columns)
        return row

    def _staging_row(self, actual: Actual, at: datetime, overrides: Columns, *, duplicate: bool) -> int:
        self._staged += 1
        line, record = actual.line, self.recorder.record_id("ProjCDSActualsImport")
        columns: Columns = {
            "ActualId": actual.row if self._staged % _UPPER_CASE_EVERY else f"{{{actual.row.upper()}}}",
            "Amount": str(actual.amount),
            "TransactionCurrencyId": line.currency,
            "ExchangeRate": rate_text(line.rate),
            "AccountingDate": line.date.isoformat(),
            "DocumentDate": line.date.isoformat(),
            "ProjectId": line.project,
            "ProjectDataAreaId": line.company.lower(),
            "TransactionCategoryId": line.category,
            "Quantity": "1.0000000000",
            "ProjAdvancedJournalLine": 0,
            "VoucherNumber": "",
            "IsDuplicate": int(duplicate),
            "DataAreaId": line.company.lower(),
        }
        self.recorder.finance_changed("ProjCDSActualsImport", record, at, columns | overrides, line.company)
        return record

    def _line_columns(self, actual: Actual, journal: IntegrationJournal) -> Columns:
        line, day = actual.line, actual.line.date.isoformat()
        side = "Price" if actual.kind == UNBILLED_SALES else "Cost"
        return {
            "ProjAdvancedJournal": journal.record,
            "LineNumber": f"{journal.lines}.0000000000",
            "Voucher": actual.voucher,
            "AccountingDate": day,
            "ProjTransDate": day,
            "ProjId": line.project,
            "ProjDataAreaId": line.company,
            "ProjCategoryId": line.category,
            "Quantity": "1.0000000000",
            f"Unit{side}": str(actual.amount),
            f"Extended{side}": str(actual.amount),
            f"{side}Currency": line.currency,
            f"{side}ExchangeRate": rate_text(line.rate),
            "DataAreaId": line.company.lower(),
        }
