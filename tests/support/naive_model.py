"""
The rules, written a second time and as plainly as possible.

Everything is recomputed from all events on each construction: no increments, no caches, no store. It shares no code
with the engine, so that the two can be compared on generated histories. Where the requirements leave room it follows
`docs/decisions/0001-rules-where-the-requirements-leave-room.md`.

The order of the page is the order of the work: events → records → companies → chains → documents → tiles.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any

RecordKey = tuple[str, str]
Precedence = tuple[datetime, int, bytes]
Token = tuple[str, ...]

EXPENSE, INVOICE_LINE = "expense", "vendor-invoice-line"
PARTS = ("missing_actual", "missing_journal_line", "reconciled", "difference")

# Finance
EXPENSE_LINE = "TrvExpTrans"
PENDING_LINE = "VendInvoiceInfoLine"
PENDING_PROJECT = "VendInvoiceInfoLine_Project"
POSTED_LINE = "VendInvoiceTrans"
POSTED_HEADER = "VendInvoiceJour"
STAGING = "ProjCDSActualsImport"
JOURNAL = "ProjAdvancedJournal"
JOURNAL_LINE = "ProjAdvancedJournalLine"
# Dataverse
EXPENSE_RECORD = "msdyn_expense"
INVOICE_RECORD = "msdyn_projectvendorinvoice"
INVOICE_LINE_RECORD = "msdyn_projectvendorinvoiceline"
ACTUAL = "msdyn_actual"
ORIGIN = "msdyn_transactionorigin"
CONNECTION = "msdyn_transactionconnection"

CHAIN_ENTITIES = {
    EXPENSE_LINE, PENDING_LINE, PENDING_PROJECT, POSTED_LINE, STAGING, JOURNAL_LINE,
    EXPENSE_RECORD, INVOICE_LINE_RECORD, ACTUAL, ORIGIN, CONNECTION,
}  # fmt: skip
KEPT_ON_DELETE = {PENDING_LINE, PENDING_PROJECT}
KIND_OF_LINE = {EXPENSE_LINE: EXPENSE, POSTED_LINE: INVOICE_LINE}
RECORD_OF_KIND = {EXPENSE: EXPENSE_RECORD, INVOICE_LINE: INVOICE_LINE_RECORD}

# Column → which documents its transaction id names; the id and the company together are the link.
TRANSACTION_ID = {
    EXPENSE_LINE: (EXPENSE, "finance", "ProjTransId"),
    EXPENSE_RECORD: (EXPENSE, "dataverse", "assumed_externalexpenseid"),
    PENDING_PROJECT: (INVOICE_LINE, "finance", "ProjTransId"),
    INVOICE_LINE_RECORD: (INVOICE_LINE, "dataverse", "msdyn_externalinvoiceline"),
}
OTHER_SYSTEM = {"finance": "dataverse", "dataverse": "finance"}

COST = 192350000
EXPENSE_STATUS_APPROVED = {192350002, 192350004, 192350005}  # approved, posted, paid
HEADER_CONFIRMED, HEADER_CANCELLED = 900000002, 900000003
FINANCE_APPROVED, FINANCE_POSTED, FINANCE_CANCELLED = {3, 5}, 6, 8
PERIOD_OPERATING, PERIOD_OPEN = 1, 1

LINE_STATES = {
    0: "draft", 1: "error", 2: "processing", 3: "posted", 4: "unrecoverable", 5: "invalid-actual",
}  # fmt: skip
# How far an actual got in Finance, least advanced first.
STEPS = (
    "not-imported", "line-not-seen", "draft", "invalid-actual", "error", "unrecoverable",
    "processing", "posted",
)  # fmt: skip

# The causes that rest on an absence, and the system that would have sent what is absent. The other causes rest on
# something seen.
AWAITED_FROM = {
    "not-synced-to-dataverse": "dataverse",
    "not-approved": "dataverse",
    "not-confirmed": "dataverse",
    "no-actual-made": "dataverse",
    "actual-not-synced-back": "finance",
    "not-imported": "finance",
    "line-not-seen": "finance",
}

DECIMALS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
ARITHMETIC = Context(prec=80)
MONEY_UNIT = Decimal("0.0001")
MONEY_MAX = Decimal(10**13)


# -- values ------------------------------------------------------------------------------------------------------------


def text(value: Any) -> str | None:
    """The text of a value; None if it has no value."""
    if value is None:
        return None
    return str(value).strip() or None


def code(value: Any) -> str | None:
    """A company or currency code: compared without case, shown in upper case."""
    found = text(value)
    return found.upper() if found else None


def row_id(value: Any) -> str | None:
    """An id or a reference to one: lower case, no braces; RecId 0 and the zero guid mean none."""
    if isinstance(value, dict):
        value = value.get("id")
    found = text(value)
    if found is None:
        return None
    found = found.strip("{}").lower()
    return found if found.strip("0-") else None


def number(value: Any) -> Decimal | None:
    try:
        found = Decimal(str(value)) if value is not None else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def money(value: Any) -> Decimal | None:
    """An amount; one that is too large or has more than four decimals counts as not there."""
    found = number(value)
    if found is None or not fits(found):
        return None
    return found if found == found.quantize(MONEY_UNIT, context=ARITHMETIC) else None


def fits(*amounts: Decimal) -> bool:
    """Return True if every amount, received or computed, is within the limit."""
    return all(abs(amount) <= MONEY_MAX for amount in amounts)


def choice(value: Any) -> int | None:
    found = number(value)
    return int(found) if found is not None else None


def day(value: Any) -> date | None:
    found = text(value)
    return date.fromisoformat(found[:10]) if found else None


def written(on: date | None) -> str | None:
    return on.isoformat() if on else None


def moment(value: Any) -> datetime | None:
    found = text(value)
    if found is None:
        return None
    at = datetime.fromisoformat(found)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def decimals(currency: str | None) -> int:
    return DECIMALS.get(currency or "", 2)


def rounded(amount: Decimal, currency: str | None) -> Decimal:
    """To the currency's smallest unit, halves away from zero."""
    unit = Decimal(1).scaleb(-decimals(currency))
    return amount.quantize(unit, rounding=ROUND_HALF_UP, context=ARITHMETIC)


def shown(amount: Decimal | None, currency: str | None) -> str | None:
    """With the currency's decimals; with more when the value needs them."""
    if amount is None:
        return None
    at_least = rounded(amount, currency)
    if at_least == amount:
        return f"{at_least if at_least else abs(at_least):f}"
    return f"{amount.normalize(ARITHMETIC):f}"


def total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))


# -- records -----------------------------------------------------------------------------------------------------------


@dataclass
class Record:
    """A row of either system as last seen: of each column the value of highest precedence."""

    entity: str
    id: str
    system: str
    columns: dict[str, Any]
    times: dict[str, datetime]  # of each column: when the event that set it happened
    touched: datetime  # time of the latest event with the row
    company: str | None = None

    @property
    def key(self) -> RecordKey:
        return self.entity, self.id

    def get(self, *columns: str) -> Any:
        """The first of the columns that is not null."""
        return next((self.columns[c] for c in columns if self.columns.get(c) is not None), None)

    def text(self, *columns: str) -> str | None:
        """Return the first of the columns that has a value."""
        return next((found for c in columns if (found := text(self.columns.get(c)))), None)


@dataclass
class Change:
    """The decoded values of one row event."""

    precedence: Precedence
    system: str
    delete: bool
    columns: dict[str, Any]


COMPANY_OF_EVENT = "(company of the event)"


def change_of(event: dict[str, Any]) -> tuple[RecordKey, Change] | None:
    """Read a row event; None for one that is not about a row or that has no time."""
    value = event["value"]
    data = value.get("data") or {}
    if value.get("type") != "tieout.row.changed":
        return None
    columns = dict(data.get("columns") or {})
    at = moment(columns.get("modifiedon")) or moment(value.get("time"))
    if at is None:
        return None
    if "company" in data:
        columns[COMPANY_OF_EVENT] = data["company"]
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=False).encode()
    precedence = (at, int(data.get("version") or 0), blake2b(body, digest_size=16).digest())
    change = Change(precedence, system_of(value), data["operation"] == "delete", columns)
    return (data["entity"], row_id(data["id"]) or ""), change


def system_of(value: dict[str, Any]) -> str:
    return "finance" if value["source"].startswith("/finance/") else "dataverse"


def merge(key: RecordKey, changes: list[Change]) -> Record | None:
    """The row after all its changes; None when a delete hides everything."""
    entity, id_ = key
    if entity not in KEPT_ON_DELETE:
        deleted = max((c.precedence for c in changes if c.delete), default=None)
        changes = [c for c in changes if deleted is None or c.precedence > deleted]
    changes = sorted((c for c in changes if not c.delete), key=lambda c: c.precedence)
    if not changes:
        return None
    columns: dict[str, Any] = {}
    times: dict[str, datetime] = {}
    for change in changes:  # in order of precedence: the last one to set a column wins
        columns.update(change.columns)
        times.update(dict.fromkeys(change.columns, change.precedence[0]))
    return Record(entity, id_, changes[-1].system, columns, times, changes[-1].precedence[0])


# -- documents ---------------------------------------------------------------------------------------------------------


@dataclass
class Document:
    """A row of a grid. Parts and accounting amounts are None where they cannot be computed."""

    line: Record
    kind: str
    name: str
    company: str
    on: date | None
    voucher: str | None
    project: str | None
    category: str | None
    currency: str | None
    rate: Decimal | None
    amount: Decimal | None
    accounting_currency: str | None
    accounting_amount: Decimal | None
    position: str = ""
    excluded: str | None = None
    cause: str | None = None
    journal: str | None = None
    journal_voucher: str | None = None
    parts: dict[str, Decimal | None] = field(default_factory=lambda: dict.fromkeys(PARTS))
    accounting: dict[str, Decimal | None] = field(default_factory=lambda: dict.fromkeys(PARTS))

    def is_in(self, view: str) -> bool:
        match view:
            case "all":
                return True
            case "reconciled":
                return self.position == "reconciled"
            case "missing-actuals":
                return self.position == "missing-actual" or bool(self.parts["missing_actual"])
            case "missing-journal-lines":
                part = self.parts["missing_journal_line"]
                return self.position == "missing-journal-line" or bool(part)
        raise ValueError(f"no such view: {view}")

    def is_between(self, start: date | None, end: date | None) -> bool:
        """A document without a date is in every window."""
        if self.on is None:
            return True
        return (start is None or start <= self.on) and (end is None or self.on <= end)

    def row(self) -> dict[str, Any]:
        own, accounting = self.currency, self.accounting_currency
        return {
            "document": self.name,
            "company": self.company,
            "kind": self.kind,
            "position": self.position,
            "excluded": self.excluded,
            "cause": self.cause,
            "amount": shown(self.amount, own),
            "currency": own,
            **{part: shown(self.parts[part], own) for part in PARTS},
            "accounting_currency": accounting,
            "accounting": {
                # All five or none: an amount with parts that are not computable would not add up.
                "amount": shown(
                    self.accounting_amount if self.accounting["difference"] is not None else None, accounting
                ),
                **{part: shown(self.accounting[part], accounting) for part in PARTS},
            },
            "date": written(self.on),
            "voucher": self.voucher,
            "project": self.project,
            "category": self.category,
            "journal": self.journal,
            "journal_voucher": self.journal_voucher,
        }


class NaiveModel:
    """What the product must show, given these events in whatever order."""

    def __init__(self, events: Iterable[dict[str, Any]]) -> None:
        events = list(events)
        changes: dict[RecordKey, list[Change]] = defaultdict(list)
        for event in events:
            if found := change_of(event):
                changes[found[0]].append(found[1])
        merged = {key: merge(key, of_row) for key, of_row in changes.items()}
        self.records = {key: record for key, record in merged.items() if record}
        self.entities_seen = {entity for entity, _ in changes}
        self.complete_until = complete_until(events)
        for record in self.records.values():
            record.company = self._company_of(record)
        self._chains = self._join()
        self._chain_of = {record.key: chain for chain in self._chains for record in chain}
        self._documents = [
            document
            for record in self.records.values()
            if record.entity in KIND_OF_LINE and (document := self._document(record))
        ]

    # -- what is asked of it

    def documents(
        self,
        company: str,
        kind: str,
        view: str = "all",
        start: date | str | None = None,
        end: date | str | None = None,
    ) -> list[dict[str, Any]]:
        """The rows of a grid, by document; no start or no end means unbounded, not the default window."""
        return [d.row() for d in self._select(company, kind, view, start, end)]

    def summary(self, company: str, start: date | str | None = None, end: date | str | None = None) -> dict[str, Any]:
        """The tiles of a window, in the company's accounting currency."""
        currency = self._accounting_currency(company)

        def tile(kinds: tuple[str, ...], parts: tuple[str, ...]) -> dict[str, Any]:
            """Sum each part over the rows of its view; a document in two views counts once."""
            amount, rows = Decimal(0), set()
            for kind in kinds:
                for part in parts:
                    for document in self._select(company, kind, f"{part}s", start, end):
                        rows.add(document.line.key)
                        amount += document.accounting[part.replace("-", "_")] or 0
            return {"amount": shown(amount, currency), "documents": len(rows)}

        differing = [
            document
            for kind in (EXPENSE, INVOICE_LINE)
            for document in self._select(company, kind, "all", start, end)
            if document.parts["difference"]
        ]
        difference = total(document.accounting["difference"] or Decimal(0) for document in differing)
        actual, journal_line = "missing-actual", "missing-journal-line"
        return {
            "company": company.upper(),
            "from": written(day(start)),
            "to": written(day(end)),
            "currency": currency,
            "as_of": None,
            "unreconciled": {
                "expense": tile((EXPENSE,), (actual, journal_line)),
                "vendor_invoice": tile((INVOICE_LINE,), (actual, journal_line)),
            },
            "tiles": {
                "vendor_invoice_missing_journal_lines": tile((INVOICE_LINE,), (journal_line,)),
                "vendor_invoice_missing_actuals": tile((INVOICE_LINE,), (actual,)),
                "expense_missing_journal_lines": tile((EXPENSE,), (journal_line,)),
                "expense_missing_actuals": tile((EXPENSE,), (actual,)),
            },
            "difference": {"amount": shown(difference, currency), "documents": len(differing)},
            "in_flight": {"amount": shown(Decimal(0), currency), "documents": 0},
            "not_synced_to_finance": self._not_synced(company.upper(), currency),
        }

    def chains(self) -> set[frozenset[RecordKey]]:
        """The records that belong together; reference data and headers belong to no chain."""
        return {frozenset(record.key for record in chain) for chain in self._chains}

    def window(self, company: str, today: date | str) -> tuple[date, date] | None:
        """From the earliest open operating period of this and the previous fiscal year to today."""
        until = day(today)
        ledger = self._ledger(company)
        if ledger is None or until is None:
            return None
        years = sorted(
            (starts, ends, year.id)
            for year in self._all("FiscalCalendarYear")
            if row_id(year.get("FiscalCalendar")) == row_id(ledger.get("FiscalCalendar"))
            if (starts := day(year.get("StartDate"))) and (ends := day(year.get("EndDate")))
        )
        current = next((n for n, (starts, ends, _) in enumerate(years) if starts <= until <= ends), None)
        if current is None:
            return None
        both = {id_ for _, _, id_ in years[max(0, current - 1) : current + 1]}
        open_periods = {
            row_id(status.get("FiscalCalendarPeriod"))
            for status in self._all("LedgerFiscalCalendarPeriod")
            if row_id(status.get("Ledger")) == ledger.id and choice(status.get("Status")) == PERIOD_OPEN
        }
        starts_of_open = [
            starts
            for period in self._all("FiscalCalendarPeriod")
            if period.id in open_periods
            and choice(period.get("Type")) == PERIOD_OPERATING
            and row_id(period.get("FiscalCalendarYear")) in both
            and (starts := day(period.get("StartDate")))
        ]
        return (min(starts_of_open), until) if starts_of_open else None

    # -- records and companies

    def _all(self, entity: str) -> list[Record]:
        found = [record for record in self.records.values() if record.entity == entity]
        return sorted(found, key=lambda record: record.key)

    def _find(self, entity: str, reference: Any) -> Record | None:
        return self.records.get((entity, row_id(reference) or ""))

    def _company_of(self, record: Record) -> str | None:
        """The owning company where it can be read, else the company of the event."""
        if record.system == "dataverse":
            company = self._find("cdm_company", record.get("msdyn_owningcompany", "assumed_owningcompany"))
            if company and (found := code(company.get("cdm_companycode"))):
                return found
        return code(record.get(COMPANY_OF_EVENT))

    def _ledger(self, company: str) -> Record | None:
        for info in self._all("CompanyInfo"):
            if code(info.get("DataArea")) == company.upper():
                for ledger in self._all("Ledger"):
                    if row_id(ledger.get("PrimaryForLegalEntity")) == info.id:
                        return ledger
        return None

    def _accounting_currency(self, company: str) -> str | None:
        ledger = self._ledger(company)
        return code(ledger.get("AccountingCurrency")) if ledger else None

    def _currency_of(self, actual: Record) -> str | None:
        currency = self._find("transactioncurrency", actual.get("transactioncurrencyid"))
        return code(currency.get("isocurrencycode")) if currency else None

    # -- chains

    def _join(self) -> list[list[Record]]:
        """Records that carry the same token belong together, and so on along."""
        members = [record for record in self.records.values() if record.entity in CHAIN_ENTITIES]
        companies = self._companies_of_transaction_ids(members)
        holders: dict[Token, list[Record]] = defaultdict(list)
        for record in members:
            for token in self._tokens(record, companies):
                holders[token].append(record)
        chains: list[list[Record]] = []
        placed: set[RecordKey] = set()
        for record in members:
            if record.key in placed:
                continue
            placed.add(record.key)
            chain = [record]
            for member in chain:  # grows while it is walked
                for token in self._tokens(member, companies):
                    for neighbour in holders[token]:
                        if neighbour.key not in placed:
                            placed.add(neighbour.key)
                            chain.append(neighbour)
            chains.append(sorted(chain, key=lambda r: r.key))
        return chains

    def _companies_of_transaction_ids(self, members: list[Record]) -> dict[tuple[str, str, str], set[str]]:
        """For a kind, a system and a transaction id: the companies that system has it in."""
        companies: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for record in members:
            if record.company and (named := transaction_id(record)):
                companies[named].add(record.company)
        return companies

    def _tokens(self, record: Record, companies: dict[tuple[str, str, str], set[str]]) -> list[Token]:
        """Everything this record has in common with the other records of its chain."""
        tokens: list[tuple[str, str | None]] = []
        match record.entity:
            case "VendInvoiceInfoLine":
                tokens = [
                    ("pending line", record.id),
                    ("source document line", row_id(record.get("SourceDocumentLine"))),
                ]
            case "VendInvoiceInfoLine_Project":
                tokens = [("pending line", row_id(record.get("VendInvoiceInfoLineRefRecId")))]
            case "VendInvoiceTrans":
                tokens = [("source document line", row_id(record.get("SourceDocumentLine")))]
            case "msdyn_expense" | "msdyn_projectvendorinvoiceline":
                tokens = [("record", record.id)]
            case "msdyn_actual":
                tokens = [
                    ("actual", record.id),
                    ("record", row_id(record.get("assumed_sourcedocument"))),
                ]
            case "msdyn_transactionorigin":
                tokens = [
                    ("record", row_id(record.get("msdyn_origin"))),
                    ("actual", row_id(record.get("msdyn_transaction"))),
                ]
            case "msdyn_transactionconnection" if corrects(record):
                tokens = [
                    ("actual", row_id(record.get("msdyn_transaction1"))),
                    ("actual", row_id(record.get("msdyn_transaction2"))),
                ]
            case "ProjCDSActualsImport":
                tokens = [
                    ("actual", row_id(record.get("ActualId"))),
                    ("journal line", row_id(record.get("ProjAdvancedJournalLine"))),
                ]
            case "ProjAdvancedJournalLine":
                tokens = [("journal line", record.id)]
        linked: list[Token] = [(name, id_) for name, id_ in tokens if id_]
        if named := transaction_id(record):
            kind, system, id_ = named
            candidates = companies[kind, OTHER_SYSTEM[system], id_]
            company = record.company or (min(candidates) if len(candidates) == 1 else None)
            if company:
                linked.append(("transaction", kind, company, id_))
        return linked

    # -- one document

    def _document(self, line: Record) -> Document | None:
        """Describe and judge a Finance line; None for a line that has no row."""
        chain = self._chain_of[line.key]
        keeper = min(record.key for record in chain if record.entity in KIND_OF_LINE)
        is_keeper = line.key == keeper
        document = self._describe(line, is_keeper)
        if document is None:
            return None
        mine = chain if is_keeper else []
        costs = [r for r in mine if r.entity == ACTUAL and choice(r.get("msdyn_transactiontypecode")) == COST]
        if document.position != "not-posted" and (reason := self._exclusion(document, costs)):
            document.position, document.excluded = "excluded", reason
        if document.position:
            document.parts = dict.fromkeys(PARTS, Decimal(0))
            document.accounting = dict.fromkeys(PARTS, Decimal(0))
            return document
        self._judge(document, mine, [actual for actual in costs if not skips_sync(actual)])
        return document

    def _describe(self, line: Record, is_keeper: bool) -> Document | None:
        """The facts of the Finance line; the position `not-posted` is already decided here."""
        company = line.company
        if company is None:
            return None
        position = ""
        if line.entity == EXPENSE_LINE:
            status = choice(line.get("ApprovalStatus"))
            voucher = line.text("Voucher")
            if status != FINANCE_POSTED and not voucher:
                if status not in FINANCE_APPROVED:
                    return None
                position = "not-posted"
            name, rate = line.text("ProjTransId"), number(line.get("ExchangeRate"))
            project, category = line.text("ProjId"), line.text("CostType")
            currency = code(line.get("ExchangeCode"))
            amount = money(line.get("NetTransactionAmount"))
            if amount is None:
                amount = money(line.get("AmountCurr"))
            booked, on = money(line.get("AmountMST")), day(line.get("TransDate"))
        else:
            header = self._posted_header(line)
            voucher = header.text("LedgerVoucher") if header else None
            rate = number(header.get("ExchRate")) if header else None
            extension = self._project_extension(line)
            name = extension.text("ProjTransId") if extension else None
            project = extension.text("ProjId") if extension else None
            category = extension.text("ProjCategoryId") if extension else None
            currency = code(line.get("CurrencyCode"))
            amount, booked = money(line.get("LineAmount")), money(line.get("LineAmountMST"))
            on = day(line.get("InvoiceDate"))
        rate = rate or None
        accounting_currency = self._accounting_currency(company) or currency
        if booked is None and amount is not None:
            if rate is not None:
                booked = rounded(amount * rate / 100, accounting_currency)
                booked = booked if fits(booked) else None
            elif currency and currency == accounting_currency:
                booked = amount
        return Document(
            line=line,
            kind=KIND_OF_LINE[line.entity],
            name=f"{company}/{name if name and is_keeper else line.id}",
            company=company,
            on=on,
            voucher=voucher,
            project=project,
            category=category,
            currency=currency,
            rate=rate,
            amount=amount,
            accounting_currency=accounting_currency,
            accounting_amount=booked,
            position=position,
        )

    def _posted_header(self, line: Record) -> Record | None:
        """The posted invoice of a posted line: same company, invoice and date."""

        def names(record: Record) -> tuple[str | None, str | None, date | None]:
            return record.company, code(record.get("InvoiceId")), day(record.get("InvoiceDate"))

        if None in names(line):
            return None
        found = [j for j in self._all(POSTED_HEADER) if names(j) == names(line)]
        return found[0] if len(found) == 1 else None  # two vendors with one number: neither

    def _project_extension(self, line: Record) -> Record | None:
        """The project row of a posted invoice line, found through its pending line."""
        source = row_id(line.get("SourceDocumentLine"))
        pending = {r.id for r in self._all(PENDING_LINE) if source and row_id(r.get("SourceDocumentLine")) == source}
        rows = self._all(PENDING_PROJECT)
        return next((r for r in rows if row_id(r.get("VendInvoiceInfoLineRefRecId")) in pending), None)

    def _exclusion(self, document: Document, costs: list[Record]) -> str | None:
        line = document.line
        charged: str | None
        if document.kind == EXPENSE:
            cancelled = choice(line.get("ApprovalStatus")) == FINANCE_CANCELLED
            charged = code(line.get("InterCompanyLE"))
        else:
            cancelled = False
            extension = self._project_extension(line)
            charged = code(extension.get("ProjDataAreaId")) if extension else None
        if not document.project:
            return "no-project"
        if cancelled:
            return "cancelled"
        if charged and charged != document.company:
            return "intercompany-cost"
        if costs and all(skips_sync(actual) for actual in costs):
            return "skip-sync"
        return None

    def _judge(self, document: Document, chain: list[Record], actuals: list[Record]) -> None:
        """Position, cause, journal and amounts of a processed line that is not excluded."""
        reversals = [r for r in chain if r.entity == CONNECTION and corrects(r) == "reversing"]
        reversing = {row_id(connection.get("msdyn_transaction1")) for connection in reversals}
        counting = [actual for actual in actuals if self._reached(actual)]
        not_reached = [actual for actual in actuals if not self._reached(actual)]
        posted = [actual for actual in counting if self._posted(actual)]
        not_posted = [actual for actual in counting if not self._posted(actual)]
        counting_ids = {actual.id for actual in counting}
        reversed_ids = {
            row_id(connection.get("msdyn_transaction2"))
            for connection in reversals
            if row_id(connection.get("msdyn_transaction1")) in counting_ids
        }
        effective = [a for a in counting if a.id not in reversing and a.id not in reversed_ids]

        line: Record | None = None
        if not effective or not_reached:
            document.position = "missing-actual"
            document.cause = self._cause_of_missing_actual(document, chain, actuals, not_reached)
        elif not_posted:
            document.position = "missing-journal-line"
            step = min((self._step(actual) for actual in not_posted), key=STEPS.index)
            least = [actual for actual in not_posted if self._step(actual) == step]
            since = min(row.touched for actual in least for row in self._furthest_rows(actual))
            awaited = JOURNAL_LINE if step == "line-not-seen" else None
            document.cause = self._claim(step, since, awaited)
            line = self._line_of(least)
        else:
            document.position = "reconciled"
            line = self._line_of([min(effective, key=lambda actual: actual.key)])
        if line:
            journal = self._find(JOURNAL, line.get("ProjAdvancedJournal"))
            document.journal = journal.text("ProjAdvancedJournalId") if journal else None
            document.journal_voucher = line.text("Voucher")

        amounts = {actual.id: self._amount_in_document_currency(actual, document) for actual in actuals}
        if document.amount is None or None in amounts.values():
            document.amount = document.accounting_amount = None  # not computable
            return
        sums = [
            total(amounts[actual.id] or Decimal(0) for actual in group) for group in (not_reached, not_posted, posted)
        ]
        if not effective:
            sums[0] = document.amount
        parts = dict(zip(PARTS, [*sums, document.amount - total(sums)], strict=True))
        if not fits(*parts.values()):
            document.amount = document.accounting_amount = None
            return
        document.parts = {**parts}
        shares = split(document, parts)
        document.accounting = shares if fits(*filter(None, shares.values())) else dict.fromkeys(PARTS)

    def _cause_of_missing_actual(
        self,
        document: Document,
        chain: list[Record],
        actuals: list[Record],
        not_reached: list[Record],
    ) -> str:
        """The furthest step that was reached decides."""
        if not_reached:
            since = min(actual.touched for actual in not_reached)
            return self._claim("actual-not-synced-back", since, STAGING)
        if actuals:
            return "actual-reversed"
        records = [r for r in chain if r.entity == RECORD_OF_KIND[document.kind]]
        if not records:
            line = document.line
            decided_by = "Voucher" if line.text("Voucher") else "ApprovalStatus"
            since = line.times.get(decided_by, line.touched)
            return self._claim("not-synced-to-dataverse", since, RECORD_OF_KIND[document.kind])
        record = min(records, key=lambda r: (choice(r.get("statecode")) == 1, r.key))
        inactive = choice(record.get("statecode")) == 1
        if document.kind == EXPENSE:
            since = record.times.get("msdyn_expensestatus", record.touched)
            if inactive:
                return "cancelled-in-dataverse"
            if choice(record.get("msdyn_expensestatus")) not in EXPENSE_STATUS_APPROVED:
                return self._claim("not-approved", since)
            return self._claim("no-actual-made", since, ACTUAL)
        header = self._find(INVOICE_RECORD, record.get("msdyn_vendorinvoice"))
        status = choice(header.get("statuscode")) if header else None
        since = header.times.get("statuscode", header.touched) if header else record.touched
        if inactive or status == HEADER_CANCELLED:
            return "cancelled-in-dataverse"
        if status != HEADER_CONFIRMED:
            if header and header.get("msdyn_enableautomaticconfirmation") in (False, 0):
                return "awaiting-manual-verification"
            return self._claim("not-confirmed", since, None if header else INVOICE_RECORD)
        return self._claim("no-actual-made", since, ACTUAL)

    def _claim(self, cause: str, since: datetime, awaited: str | None = None) -> str:
        """The cause; when it rests on an absence, only as far as the source is known to have been heard.

        `since` is the time of the step before; `awaited` the entity of a row that is not there at all.
        """
        if cause not in AWAITED_FROM:
            return cause
        until = self.complete_until.get(AWAITED_FROM[cause])
        if until is not None:
            return cause if until >= since else "feed-silent"
        return "not-observed" if awaited and awaited not in self.entities_seen else cause

    # -- actuals in Finance

    def _staging_rows(self, actual: Record) -> list[Record]:
        return [s for s in self._all(STAGING) if row_id(s.get("ActualId")) == actual.id]

    def _reached(self, actual: Record) -> bool:
        return bool(self._staging_rows(actual)) or self._posted(actual)

    def _posted(self, actual: Record) -> bool:
        """A posted journal line, a voucher on a staging row, or a voucher on the actual."""
        if actual.text("assumed_vouchernumber", "msdyn_externalreferenceid"):
            return True
        return any(self._step_of_row(row) == "posted" for row in self._staging_rows(actual))

    def _step_of_row(self, staging: Record) -> str:
        line_id = row_id(staging.get("ProjAdvancedJournalLine"))
        line = self._find(JOURNAL_LINE, line_id)
        if staging.text("VoucherNumber", "Voucher"):
            return "posted"
        if line_id is None:
            return "not-imported"
        if line is None:
            return "line-not-seen"
        return self._line_state(line)

    def _line_state(self, line: Record) -> str:
        """The line's own state, else its journal's; an unknown state counts as draft."""
        status = line.get("Status")
        if status is None:
            journal = self._find(JOURNAL, line.get("ProjAdvancedJournal"))
            status = journal.get("Status") if journal else None
        found = choice(status)
        return LINE_STATES.get(found, "draft") if found is not None else "draft"

    def _furthest_rows(self, actual: Record) -> list[Record]:
        """Of several staging rows of an actual the most advanced ones are judged."""
        rows = self._staging_rows(actual)
        furthest = max((STEPS.index(self._step_of_row(row)) for row in rows), default=None)
        return [row for row in rows if STEPS.index(self._step_of_row(row)) == furthest]

    def _step(self, actual: Record) -> str:
        return self._step_of_row(self._furthest_rows(actual)[0])

    def _line_of(self, actuals: list[Record]) -> Record | None:
        """The journal line to show, of those that were seen: a posted one before others, then the smallest RecId."""
        lines = [
            line
            for actual in actuals
            for row in self._furthest_rows(actual)
            if (line := self._find(JOURNAL_LINE, row.get("ProjAdvancedJournalLine")))
        ]
        return min(lines, key=lambda line: (self._line_state(line) != "posted", len(line.id), line.id), default=None)

    # -- money

    def _amount_in_document_currency(self, actual: Record, document: Document) -> Decimal | None:
        """The actual's amount; one in another currency goes through accounting currency and rate."""
        own = self._currency_of(actual)
        if own is None or document.currency is None or own == document.currency:
            return money(actual.get("msdyn_amount"))
        booked = money(actual.get("assumed_accountingamount"))
        if booked is None:
            rows = self._furthest_rows(actual)
            booked = next((found for s in rows if (found := money(s.get("AccountingAmount"))) is not None), None)
        if booked is None:
            return None
        if document.rate is not None:
            back = rounded(ARITHMETIC.divide(booked * 100, document.rate), document.currency)
            return back if fits(back) else None
        return booked if document.currency == document.accounting_currency else None

    def _not_synced(self, company: str, currency: str | None) -> dict[str, Any]:
        """Actuals of the company that should be in Finance and have no staging row there."""
        amounts = []
        for actual in self._all(ACTUAL):
            document = self._document_of(actual)
            where = actual.company or (document.company if document else None)
            if (
                where != company
                or choice(actual.get("msdyn_transactiontypecode")) is None
                or skips_sync(actual)
                or self._staging_rows(actual)
            ):
                continue
            amounts.append(self._accounting_amount(actual, document, currency))
        known = total(amount for amount in amounts if amount is not None)
        return {"amount": shown(known, currency), "records": len(amounts)}

    def _document_of(self, actual: Record) -> Document | None:
        """The document whose chain the actual is in; None for a line that has no row."""
        lines = [r for r in self._chain_of[actual.key] if r.entity in KIND_OF_LINE]
        return self._describe(lines[0], True) if lines else None

    def _accounting_amount(self, actual: Record, document: Document | None, accounting: str | None) -> Decimal | None:
        booked = money(actual.get("assumed_accountingamount"))
        amount = money(actual.get("msdyn_amount"))
        if booked is not None or amount is None:
            return booked
        currency = self._currency_of(actual) or (document.currency if document else None)
        if currency and currency == accounting:
            return amount
        if document and document.rate is not None and currency == document.currency:
            return rounded(amount * document.rate / 100, accounting)
        return None

    def _select(
        self, company: str, kind: str, view: str, start: date | str | None, end: date | str | None
    ) -> list[Document]:
        rows = [
            document
            for document in self._documents
            if (document.company, document.kind) == (company.upper(), kind)
            and document.is_in(view)
            and document.is_between(day(start), day(end))
        ]
        return sorted(rows, key=lambda document: (document.name, document.line.key))


def complete_until(events: list[dict[str, Any]]) -> dict[str, datetime]:
    """The watermark of each system; a system without heartbeat is absent."""
    until: dict[str, datetime] = {}
    for event in events:
        value = event["value"]
        if value.get("type") == "tieout.source.complete" and (at := moment(value["data"]["until"])):
            system = system_of(value)
            until[system] = max(at, until.get(system, at))
    return until


def transaction_id(record: Record) -> tuple[str, str, str] | None:
    """Kind, system and transaction id of a record; an expense line without one is known by its RecId."""
    if record.entity not in TRANSACTION_ID:
        return None
    kind, system, column = TRANSACTION_ID[record.entity]
    found = record.text(column) or (record.id if record.entity == EXPENSE_LINE else None)
    return (kind, system, found.casefold()) if found else None


def corrects(connection: Record) -> str | None:
    """`reversing` or `replacing` when transaction 1 corrects the original, transaction 2."""
    first = (connection.text("msdyn_transaction1role") or "").casefold()
    second = (connection.text("msdyn_transaction2role") or "").casefold()
    return first if first in ("reversing", "replacing") and second == "original" else None


def skips_sync(actual: Record) -> bool:
    return actual.get("assumed_skipsync") in (True, 1)


def split(document: Document, parts: dict[str, Decimal]) -> dict[str, Decimal | None]:
    """The document's accounting amount in the proportions of its parts, to the last cent."""
    currency, booked, amount = (
        document.accounting_currency,
        document.accounting_amount,
        document.amount,
    )
    if booked is None:
        return dict.fromkeys(PARTS)
    if not amount:
        same = bool(currency) and document.currency == currency
        rate = document.rate if document.rate is not None else Decimal(100) if same else None
        if rate is None and any(parts.values()):
            return dict.fromkeys(PARTS)
        shares = {part: rounded(parts[part] * (rate or 0) / 100, currency) for part in PARTS[:3]}
        return {**shares, "difference": booked - total(shares.values())}
    shares = {part: rounded(ARITHMETIC.divide(booked * value, amount), currency) for part, value in parts.items()}
    largest = max(PARTS, key=lambda part: abs(shares[part]))  # at a tie the first
    shares[largest] += booked - total(shares.values())
    return {**shares}
