"""The way every cost takes once a document is approved: actual, staging row, integration journal, and back."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from tieout.simulator.amounts import rounded
from tieout.simulator.event_recorder import World, text_time
from tieout.simulator.reference import Directory, dataverse_rate_text, rate_text
from tieout.simulator.scenario import Columns

COST, UNBILLED_SALES, BILLED_SALES = 192350000, 192350005, 192350006
TIME, EXPENSE, MATERIAL = 192350000, 192350001, 192350002
CHARGEABLE, UNBILLED_SALES_CREATED = 192350001, 192350000
ADJUSTED, UNADJUSTABLE = 192350001, 192350002
DRAFT, ERROR, PROCESSING, POSTED, UNRECOVERABLE, INVALID = 0, 1, 2, 3, 4, 5

CENT = Decimal("0.01")
SALES_MARKUP = Decimal("1.20")
_UPPER_CASE_EVERY = 7
_NOTHING_WRONG: Columns = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLine:
    """What an expense line and a vendor invoice line have in common; `rate` is the Finance rate, times 100."""

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
        """An amount of this line in accounting currency."""
        return rounded(amount * self.rate / 100, self.accounting_currency)


@dataclass(slots=True)
class Journal:
    """An integration journal."""

    record: int
    number: str
    company: str
    lines: int = 0


@dataclass(slots=True)
class Actual:
    """An actual on its way: the rows it has got so far. Finance posts `accounting` and writes it back."""

    row: str
    line: DocumentLine
    amount: Decimal
    accounting: Decimal
    kind: int = COST
    staging: int = 0
    journal: Journal | None = None
    journal_line: int = 0
    voucher: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """The Dataverse record an actual is made from, and whether the actual says so itself, by an origin, or both."""

    entity: str
    row: str
    classification: int
    lookup: bool = True
    origin: bool = False


@dataclass(slots=True)
class Tail:
    """Moves actuals from Dataverse through the integration journal and back."""

    world: World
    directory: Directory
    lines_per_journal: int = 200
    """The default parameter of Finance."""
    _journals: int = 40
    _vouchers: int = 50
    _staged: int = 0
    _daily: dict[tuple[str, datetime], Journal] = field(default_factory=dict)

    def actual(
        self,
        line: DocumentLine,
        source: Source | None,
        at: datetime,
        *,
        amount: Decimal | None = None,
        kind: int = COST,
        skip_sync: bool = False,
        adjustment: int | None = None,
        invoice: str = "",
        wrong: Columns = _NOTHING_WRONG,
    ) -> Actual:
        """Dataverse makes an actual, by default one of the whole cost of the line; `invoice` is the proforma invoice
        that bills it, `wrong` are columns gone astray.
        """
        amount = line.amount if amount is None else amount
        made = Actual(self.world.guid(at), line, amount, line.accounting(amount), kind)
        columns = self._actual_columns(made, source.classification if source else TIME)
        columns |= {"assumed_skipsync": skip_sync, "msdyn_adjustmentstatus": adjustment}
        if source and source.lookup:
            reference = {"entity": source.entity, "id": source.row, "name": None}
            columns["assumed_sourcedocument"] = reference
        if invoice:
            columns["msdyn_invoice"] = {"entity": "invoice", "id": invoice, "name": None}
        self.world.created("msdyn_actual", made.row, at, columns | wrong)
        if source and source.origin:
            self._origin(made, source, at + timedelta(seconds=1))
        return made

    def unbilled_sales(self, cost: Actual, source: Source, at: datetime) -> Actual:
        """Dataverse makes the sales side of a cost actual and connects the two."""
        sales_amount = rounded(cost.amount * SALES_MARKUP, cost.line.currency)
        sales = self.actual(cost.line, source, at, amount=sales_amount, kind=UNBILLED_SALES)
        self.connect((sales, "Unbilled Sales"), (cost, "Cost"), at + timedelta(seconds=2))
        return sales

    def reverse(self, original: Actual, source: Source | None, at: datetime) -> Actual:
        """Dataverse cancels an actual by one of the opposite amount."""
        reversal = self.actual(original.line, source, at, amount=-original.amount, adjustment=UNADJUSTABLE)
        self.connect((reversal, "Reversing"), (original, "Original"), at + timedelta(seconds=2))
        change = {"msdyn_adjustmentstatus": ADJUSTED}
        self.world.updated("msdyn_actual", original.row, at + timedelta(seconds=3), change)
        return reversal

    def replace(self, original: Actual, source: Source | None, at: datetime) -> Actual:
        """Dataverse makes the actual that takes the place of a reversed one."""
        replacement = self.actual(original.line, source, at, amount=original.amount)
        self.connect((replacement, "Replacing"), (original, "Original"), at + timedelta(seconds=2))
        return replacement

    def connect(self, first: tuple[Actual, str], second: tuple[Actual, str], at: datetime) -> None:
        """Dataverse writes down how two actuals belong together."""
        columns: Columns = {}
        for place, (actual, role) in enumerate((first, second), start=1):
            columns[f"msdyn_transaction{place}"] = actual.row
            columns[f"msdyn_transaction{place}role"] = role
            columns[f"msdyn_transaction{place}type"] = "msdyn_actual"
        self.world.created("msdyn_transactionconnection", self.world.guid(at), at, columns)

    def stage(self, actual: Actual, at: datetime, *, proposal: str = "", wrong: Columns = _NOTHING_WRONG) -> None:
        """Dual-write puts the actual into the staging table of Finance; billed sales name their invoice proposal."""
        named: Columns = {"InvoiceProposalId": proposal} if proposal else {}
        actual.staging = self._staging_row(actual, at, named | wrong, duplicate=False)

    def stage_twice(self, actual: Actual, at: datetime) -> int:
        """Dual-write puts the same actual there once more; Finance marks it as a duplicate. Returns the row's RecId."""
        return self._staging_row(actual, at, _NOTHING_WRONG, duplicate=True)

    def journal(self, company: str, at: datetime, *, status: int = DRAFT) -> Journal:
        """Import from staging opens an integration journal."""
        self._journals += 1
        journal = Journal(self.world.record_id("ProjAdvancedJournal"), f"{company}-{self._journals:06d}", company)
        columns: Columns = {"ProjAdvancedJournalId": journal.number, "Status": status}
        columns["Description"] = f"Project Operations integration journal {at.date().isoformat()}"
        self.world.finance("ProjAdvancedJournal", journal.record, at, columns, company)
        return journal

    def daily_journal(self, company: str, imported: datetime, posted: datetime) -> Journal:
        """The journal of an import run whose lines are all posted in one go."""
        key = company, imported
        if key not in self._daily or self._daily[key].lines >= self.lines_per_journal:
            journal = self.journal(company, imported)
            columns: Columns = {"Status": POSTED, "PostedDateTime": text_time(posted), "PostedUserId": "batch"}
            self.world.finance("ProjAdvancedJournal", journal.record, posted, columns, company)
            self._daily[key] = journal
        return self._daily[key]

    def import_line(
        self,
        actual: Actual,
        journal: Journal,
        at: datetime,
        *,
        status: int | None = DRAFT,
        seen: bool = True,
        wrong: Columns = _NOTHING_WRONG,
    ) -> None:
        """Import from staging makes a journal line and names it on the staging row; an unseen line sends no event."""
        self._vouchers += 1
        journal.lines += 1
        actual.journal, actual.journal_line = journal, self.world.record_id("ProjAdvancedJournalLine")
        actual.voucher = f"{journal.company}-2{self._vouchers:05d}"
        if seen:
            columns = self._line_columns(actual, journal) | ({} if status is None else {"Status": status}) | wrong
            self.world.finance("ProjAdvancedJournalLine", actual.journal_line, at, columns, actual.line.company)
        self.rename_line(actual, actual.journal_line, at + timedelta(seconds=1))

    def rename_line(self, actual: Actual, journal_line: int, at: datetime) -> None:
        """The staging row names a journal line."""
        columns: Columns = {"ProjAdvancedJournalLine": journal_line}
        self.world.finance("ProjCDSActualsImport", actual.staging, at, columns, actual.line.company)

    def set_status(self, actual: Actual, status: int, at: datetime) -> None:
        """The journal line moves to another state."""
        company = actual.line.company
        self.world.finance("ProjAdvancedJournalLine", actual.journal_line, at, {"Status": status}, company)

    def move(self, actual: Actual, journal: Journal, at: datetime) -> None:
        """A line with an error is transferred to a new journal; it stays the same line."""
        actual.journal = journal
        journal.lines += 1
        columns: Columns = {"ProjAdvancedJournal": journal.record, "LineNumber": f"{journal.lines}.0000000000"}
        columns["Status"] = DRAFT
        self.world.finance("ProjAdvancedJournalLine", actual.journal_line, at, columns, actual.line.company)

    def delete_line(self, actual: Actual, at: datetime) -> None:
        """Somebody deletes the journal line before it is posted."""
        self.world.finance_deleted("ProjAdvancedJournalLine", actual.journal_line, at, actual.line.company)

    def post(
        self, actual: Actual, at: datetime, *, line_seen: bool = True, staging: bool = True, write_back: bool = True
    ) -> None:
        """The journal line is posted; the result goes to the staging row and back to the actual, if told so."""
        line = actual.line
        if line_seen:
            self.set_status(actual, POSTED, at)
        if staging:
            columns: Columns = {"VoucherNumber": actual.voucher, "IsProcessed": 1}
            columns["AccountingAmount"] = str(actual.accounting)
            later = at + timedelta(seconds=1)
            self.world.finance("ProjCDSActualsImport", actual.staging, later, columns, line.company)
        if write_back:
            self._write_back(actual, at + timedelta(seconds=2))

    def book(self, actual: Actual, imported: datetime, posted: datetime, *, wrong: Columns = _NOTHING_WRONG) -> None:
        """Import an actual with that run and post it: the usual end of the way."""
        journal = self.daily_journal(actual.line.company, imported, posted)
        step = timedelta(seconds=5 * (journal.lines + 1))
        self.import_line(actual, journal, imported + step, wrong=wrong)
        self.post(actual, posted + step)

    def _write_back(self, actual: Actual, at: datetime) -> None:
        column = "assumed_vouchernumber" if actual.journal_line % 3 else "msdyn_externalreferenceid"
        columns: Columns = {column: actual.voucher}
        columns["assumed_accountingamount"] = str(actual.accounting)
        self.world.updated("msdyn_actual", actual.row, at, columns)

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
            "transactioncurrencyid": self.directory.lookup("transactioncurrency", line.currency),
            "msdyn_billingtype": CHARGEABLE,
            "msdyn_project": self.directory.lookup("msdyn_project", line.project),
            "msdyn_transactioncategory": self.directory.lookup("msdyn_transactioncategory", line.category),
            "msdyn_externalreferenceid": None,
            "assumed_owningcompany": self.directory.lookup("cdm_company", line.company, named=True),
            "statecode": 0,
            "statuscode": 1,
        }
        if actual.kind == UNBILLED_SALES:
            columns["msdyn_billingstatus"] = UNBILLED_SALES_CREATED
        return columns

    def _origin(self, actual: Actual, source: Source, at: datetime) -> None:
        origin_type = "Expense" if source.classification == EXPENSE else "Project vendor invoice line"
        columns = {
            "msdyn_origin": source.row,
            "msdyn_origintype": origin_type,
            "msdyn_transaction": actual.row,
            "msdyn_transactiontype": "msdyn_actual",
        }
        self.world.created("msdyn_transactionorigin", self.world.guid(at), at, columns)

    def _staging_row(self, actual: Actual, at: datetime, wrong: Columns, *, duplicate: bool) -> int:
        self._staged += 1
        line, record = actual.line, self.world.record_id("ProjCDSActualsImport")
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
        self.world.finance("ProjCDSActualsImport", record, at, columns | wrong, line.company)
        return record

    def _line_columns(self, actual: Actual, journal: Journal) -> Columns:
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
