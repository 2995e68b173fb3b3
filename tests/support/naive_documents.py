"""Documents of Finance lines, judged by the naive model: position, cause, exclusion and the parts of the amount."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from tests.support.naive_actuals import STEPS
from tests.support.naive_chains import (
    ACTUAL,
    CONNECTION,
    EXPENSE,
    EXPENSE_LINE,
    EXPENSE_RECORD,
    INVOICE_LINE,
    INVOICE_LINE_RECORD,
    INVOICE_RECORD,
    JOURNAL,
    JOURNAL_LINE,
    ORIGIN,
    POSTED_LINE,
    STAGING,
    corrects,
)
from tests.support.naive_past import Past
from tests.support.naive_records import PENDING_LINE, PENDING_PROJECT, Record
from tests.support.naive_sharing import is_cost, record_amount, record_date, shared_out, skips_sync, unlike
from tests.support.naive_splitting import PARTS, split
from tests.support.naive_values import (
    ARITHMETIC,
    choice,
    code,
    day,
    fits,
    money,
    number,
    rounded,
    row_id,
    shown,
    total,
    written,
)

KIND_OF_LINE = {EXPENSE_LINE: EXPENSE, POSTED_LINE: INVOICE_LINE}
GROSS = {EXPENSE_LINE: "AmountCurr", POSTED_LINE: "LineAmount"}
RECORD_OF_KIND = {EXPENSE: EXPENSE_RECORD, INVOICE_LINE: INVOICE_LINE_RECORD}
EXPENSE_STATUS_APPROVED = {192350002, 192350004, 192350005}  # approved, posted, paid
EXPENSE_STATUS_DRAFT, EXPENSE_STATUS_REJECTED, EXPENSE_STATUS_RECALLED = 192350000, 192350003, 192350006
HEADER_CONFIRMED, HEADER_CANCELLED = 900000002, 900000003
FINANCE_APPROVED, FINANCE_POSTED, FINANCE_CANCELLED = {3, 5}, 6, 8


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
    accounting_amount: Decimal | None
    accounting_currency: str | None = None
    booked: Decimal | None = None  # the accounting amount, also where its parts cannot be computed
    net: Decimal | None = None  # the amount, in the same way
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


class Documents(Past):
    """The documents of the Finance lines, with position, cause and the parts of their amounts."""

    def __init__(self, events: Iterable[dict[str, Any]], beginning: dict[str, date] | None = None) -> None:
        super().__init__(events)
        self._beginning = beginning or {}
        self._documents = [
            document
            for record in self.records.values()
            if record.entity in KIND_OF_LINE and not self._is_header(record) and (document := self._document(record))
        ]

    def _document(self, line: Record) -> Document | None:
        """Describe and judge a Finance line; None for a line that has no row."""
        found = [pair for pair in self._described(self._chain_of[line.key]) if pair[0].line is line]
        if not found:
            return None
        document, mine = found[0]
        costs = [r for r in mine if is_cost(r)]
        if document.position != "not-posted" and (reason := self._exclusion(document, mine, costs)):
            document.position, document.excluded = "excluded", reason
        if document.position:
            document.parts = dict.fromkeys(PARTS, Decimal(0))
            document.accounting = dict.fromkeys(PARTS, Decimal(0))
            return document
        self._judge(document, mine, [actual for actual in costs if not skips_sync(actual)])
        return document

    def _described(self, chain: list[Record]) -> list[tuple[Document, list[Record]]]:
        """The documents of a chain, each with what counts for it, the smallest RecId of each kind first; only the first
        of a name keeps it.
        """
        lines = [r for r in chain if r.entity in KIND_OF_LINE and not r.is_ghost and not self._is_header(r)]
        lines.sort(key=lambda line: (line.entity, int(line.id)))
        alone = [document for line in lines if (document := self._describe(line, [])) is not None]
        described = []
        for document in alone:
            mine = self._share_of(document, alone, chain)
            records = [r for r in mine if r.entity == RECORD_OF_KIND[document.kind]]
            records.sort(key=lambda r: (choice(r.get("statecode")) == 1, r.key))
            described.append((self._describe(document.line, records) or document, mine))
        names: set[str] = set()
        for document, _ in described:
            if document.name.casefold() in names:
                document.name = f"{document.company}/{document.line.id}"
            names.add(document.name.casefold())
        return described

    def _share_of(self, document: Document, documents: list[Document], chain: list[Record]) -> list[Record]:
        """The records of its chain that count for a document, where several have one transaction id."""
        posted = [other for other in documents if other.position != "not-posted"] or documents
        places = [number for number, other in enumerate(posted) if other.line is document.line]
        if len(posted) == 1 and places:
            return chain
        costs = [r for r in chain if is_cost(r)]
        place_of = shared_out(posted, costs, [r for r in chain if r.entity == CONNECTION], self._currency_of)
        mine = []
        for record in chain:
            if is_cost(record):
                place = place_of[record.id]
            elif record.entity in RECORD_OF_KIND.values():
                same = [number for number, other in enumerate(posted) if RECORD_OF_KIND[other.kind] == record.entity]
                of_record = [place_of[c.id] for c in costs if self._is_of(c, record) and place_of[c.id] in same]
                currency = self._currency_of(record)
                best = [
                    number
                    for _, number in sorted(
                        (unlike(posted[number], record_amount(record), currency, record_date(record)), number)
                        for number in same
                    )
                ]
                place = (of_record + best + [-1])[0]
            else:
                mine.append(record)
                continue
            if place in places:
                mine.append(record)
        return mine

    def _is_of(self, actual: Record, record: Record) -> bool:
        """An actual that names the record as its source, itself or by its origin."""
        if row_id(actual.get("assumed_sourcedocument")) == record.id:
            return True
        return any(
            row_id(origin.get("msdyn_origin")) == record.id and row_id(origin.get("msdyn_transaction")) == actual.id
            for origin in self._all(ORIGIN)
        )

    def _describe(self, line: Record, records: list[Record]) -> Document | None:
        """The facts of the Finance line and its records in Dataverse; the position `not-posted` is already decided
        here.
        """
        company = line.company
        if company is None:
            return None
        document = (
            self._describe_expense(line, company)
            if line.entity == EXPENSE_LINE
            else self._describe_invoice_line(line, company, records)
        )
        if document is None:
            return None
        if self._said(document) is None and records:
            project = self._find("msdyn_project", records[0].get("msdyn_project"))
            document.project = project.text("assumed_projectnumber") if project else None
        document.name = f"{company}/{document.name or line.id}"
        document.accounting_currency = self._accounting_currency(company) or document.currency
        document.accounting_amount = self._booked(document, money(line.get(GROSS[line.entity])))
        document.booked, document.net = document.accounting_amount, document.amount
        return document

    def _booked(self, document: Document, gross: Decimal | None) -> Decimal | None:
        """What posting put on the account: the gross accounting amount, in the proportion of net to gross."""
        amount, sent, accounting = document.amount, document.accounting_amount, document.accounting_currency
        if amount is not None and document.currency and document.currency == accounting:
            return rounded(amount, accounting)
        if sent is None:
            if amount is None or document.rate is None:
                return None
            booked = rounded(amount * document.rate / 100, accounting)
        elif not amount or not gross or amount == gross:
            booked = rounded(sent, accounting)
        else:
            booked = rounded(ARITHMETIC.divide(ARITHMETIC.multiply(sent, amount), gross), accounting)
        return booked if fits(booked) else None

    def _describe_expense(self, line: Record, company: str) -> Document | None:
        """The facts of an expense line; None for one that is neither posted nor approved."""
        status, voucher = choice(line.get("ApprovalStatus")), line.text("Voucher")
        not_posted = status != FINANCE_POSTED and not voucher
        if not_posted and status not in FINANCE_APPROVED:
            return None
        net = money(line.get("NetTransactionAmount"))
        return Document(
            line=line,
            kind=EXPENSE,
            name=line.text("ProjTransId") or "",
            company=company,
            on=day(line.get("TransDate")),
            voucher=voucher,
            project=line.text("ProjId"),
            category=line.text("CostType"),
            currency=code(line.get("ExchangeCode")),
            rate=number(line.get("ExchangeRate")) or None,
            amount=money(line.get("AmountCurr")) if net is None else net,
            accounting_amount=money(line.get("AmountMST")),
            position="not-posted" if not_posted else "",
        )

    def _describe_invoice_line(self, line: Record, company: str, records: list[Record]) -> Document:
        """The facts of a posted vendor invoice line, of its invoice, and of its pending project row."""
        header, extension = self._posted_header(line, records), self._project_extension(line)
        named = extension.text("ProjTransId") if extension else None
        if extension is None and records:
            named = records[0].text("msdyn_externalinvoiceline")
        return Document(
            line=line,
            kind=INVOICE_LINE,
            name=named or "",
            company=company,
            on=day(line.get("InvoiceDate")),
            voucher=header.text("LedgerVoucher") if header else None,
            project=extension.text("ProjId") if extension else None,
            category=extension.text("ProjCategoryId") if extension else None,
            currency=code(line.get("CurrencyCode")),
            rate=(number(header.get("ExchRate")) if header else None) or None,
            amount=money(line.get("LineAmount")),
            accounting_amount=money(line.get("LineAmountMST")),
        )

    def _posted_header(self, line: Record, records: list[Record]) -> Record | None:
        """The posted invoice of a posted line: same company, invoice and date."""
        source = row_id(line.get("SourceDocumentLine"))
        pending = [r for r in self._all(PENDING_LINE) if source and row_id(r.get("SourceDocumentLine")) == source]
        vendors = {vendor.upper() for r in pending if (vendor := r.text("InvoiceAccount")) is not None}
        found = self._posted_invoices(line)
        if not vendors and len(found) > 1 and records:
            vendor = self._vendor_of_record(records[0])
            vendors = {vendor} if vendor else set()
        if vendors:
            # The vendor joins the key where the pending line names it.
            found = [j for j in found if (j.text("InvoiceAccount") or next(iter(vendors))).upper() in vendors]
        return found[0] if len(found) == 1 else None  # two vendors with one number: neither

    def _project_extension(self, line: Record) -> Record | None:
        """The project row of a posted invoice line, found through its pending line."""
        source = row_id(line.get("SourceDocumentLine"))
        pending = {r.id for r in self._all(PENDING_LINE) if source and row_id(r.get("SourceDocumentLine")) == source}
        rows = self._all(PENDING_PROJECT)
        return next((r for r in rows if row_id(r.get("VendInvoiceInfoLineRefRecId")) in pending), None)

    def _said(self, document: Document) -> bool | None:
        """What Finance says about a project: an empty one that was sent says no, one that was not sent says nothing."""
        row = document.line if document.kind == EXPENSE else self._project_extension(document.line)
        return bool(row.text("ProjId")) if row is not None and "ProjId" in row.columns else None

    def _has_project(self, document: Document, mine: list[Record]) -> bool | None:
        """Whether the document has a project, as far as an event says so."""
        if (said := self._said(document)) is not None:
            return said
        row = document.line if document.kind == EXPENSE else self._project_extension(document.line)
        if any(record.entity == RECORD_OF_KIND[document.kind] for record in mine):
            return True  # Dataverse gets lines with a project only
        if document.kind == EXPENSE or row is not None:
            return None
        source = row_id(document.line.get("SourceDocumentLine"))
        pending = [r for r in self._all(PENDING_LINE) if source and row_id(r.get("SourceDocumentLine")) == source]
        ordered = any(row_id(r.get("PurchLineRecId")) for r in pending)
        return None if ordered or not pending else False

    def _exclusion(self, document: Document, mine: list[Record], costs: list[Record]) -> str | None:
        line = document.line
        charged: str | None
        if document.kind == EXPENSE:
            cancelled = choice(line.get("ApprovalStatus")) == FINANCE_CANCELLED
            charged = code(line.get("InterCompanyLE"))
        else:
            cancelled = False
            extension = self._project_extension(line)
            charged = code(extension.get("ProjDataAreaId")) if extension else self._owner_of_project(mine)
        has_project = self._has_project(document, mine)
        if has_project is False:
            return "no-project"
        if cancelled:
            return "cancelled"
        if charged and charged != document.company:
            return "intercompany-cost"
        if costs and all(skips_sync(actual) for actual in costs):
            return "skip-sync"
        if self._begins_with(document, [actual for actual in costs if not skips_sync(actual)]):
            return "beginning-balance"
        return None if has_project else "project-unknown"

    def _owner_of_project(self, mine: list[Record]) -> str | None:
        """The company of the project that the line in Dataverse names."""
        records = [r for r in mine if r.entity == INVOICE_LINE_RECORD]
        if not records:
            return None
        record = min(records, key=lambda r: (choice(r.get("statecode")) == 1, r.key))
        project = self._find("msdyn_project", record.get("msdyn_project"))
        return project.company if project else None

    def _begins_with(self, document: Document, actuals: list[Record]) -> bool:
        """The company's cut-off is not before the date of any actual, and none is posted."""
        cut_off = self._beginning.get(document.company)
        if cut_off is None or not actuals or any(self._posted(actual) for actual in actuals):
            return False
        days = [day(actual.get("msdyn_accountingdate")) or day(actual.get("msdyn_documentdate")) for actual in actuals]
        return all(on is not None and on <= cut_off for on in days)

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
            # Posted elsewhere, a line may be posted or known by its voucher alone: the first actual decides.
            line = self._line_of(least if step != "posted-in-other-company" else least[:1])
        else:
            document.position = "reconciled"
            line = self._line_of([min(effective, key=lambda actual: actual.key)])
        if line:
            journal = self._find(JOURNAL, line.get("ProjAdvancedJournal"))
            document.journal = journal.text("ProjAdvancedJournalId") if journal else None
            document.journal_voucher = line.text("Voucher")

        self._divide(document, (not_reached, not_posted, posted), is_missing=not effective)

    def _divide(self, document: Document, groups: tuple[list[Record], ...], *, is_missing: bool) -> None:
        """Divide the amount into its parts. Groups are the actuals without journal line, not posted, and posted."""
        actuals = [actual for group in groups for actual in group]
        amounts = {actual.id: self._amount_in_document_currency(actual, document) for actual in actuals}
        if document.amount is None or None in amounts.values():
            document.amount = document.accounting_amount = None  # not computable
            return
        sums = [total(amounts[actual.id] or Decimal(0) for actual in group) for group in groups]
        if is_missing:
            sums[0] = document.amount
        parts = dict(zip(PARTS, [*sums, document.amount - total(sums)], strict=True))
        if not fits(*parts.values()):
            document.amount = document.accounting_amount = None
            return
        document.parts = {**parts}
        shares = split(document, parts)
        document.accounting = shares if fits(*filter(None, shares.values())) else dict.fromkeys(PARTS)

    def _cancelled(self, record: Record) -> bool:
        """A record of Dataverse that is inactive, or whose invoice is cancelled."""
        header = self._find(INVOICE_RECORD, record.get("msdyn_vendorinvoice"))
        cancelled = header is not None and choice(header.get("statuscode")) == HEADER_CANCELLED
        return choice(record.get("statecode")) == 1 or cancelled

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
        records = [r for r in chain if r.entity == RECORD_OF_KIND[document.kind]]
        if records and self._cancelled(min(records, key=lambda r: (choice(r.get("statecode")) == 1, r.key))):
            return "cancelled-in-dataverse"
        if records and document.kind == EXPENSE:
            active_first = min(records, key=lambda r: (choice(r.get("statecode")) == 1, r.key))
            status = choice(active_first.get("msdyn_expensestatus"))
            if status == EXPENSE_STATUS_REJECTED:
                return "rejected-in-dataverse"
            if status == EXPENSE_STATUS_RECALLED or (status == EXPENSE_STATUS_DRAFT and actuals):
                return "recalled-in-dataverse"
        if actuals:
            return "actual-reversed"
        if not records:
            line = document.line
            decided_by = "Voucher" if line.text("Voucher") else "ApprovalStatus"
            since = line.times.get(decided_by, line.touched)
            return self._claim("not-synced-to-dataverse", since, RECORD_OF_KIND[document.kind])
        record = min(records, key=lambda r: (choice(r.get("statecode")) == 1, r.key))
        if document.kind == EXPENSE:
            since = record.times.get("msdyn_expensestatus", record.touched)
            if choice(record.get("msdyn_expensestatus")) not in EXPENSE_STATUS_APPROVED:
                return self._claim("not-approved", since)
            return self._claim("no-actual-made", since, ACTUAL)
        header = self._find(INVOICE_RECORD, record.get("msdyn_vendorinvoice"))
        status = choice(header.get("statuscode")) if header else None
        since = header.times.get("statuscode", header.touched) if header else record.touched
        if status != HEADER_CONFIRMED:
            if header and header.get("msdyn_enableautomaticconfirmation") in (False, 0):
                return "awaiting-manual-verification"
            return self._claim("not-confirmed", since, None if header else INVOICE_RECORD)
        return self._claim("no-actual-made", since, ACTUAL)

    def _amount_in_document_currency(self, actual: Record, document: Document) -> Decimal | None:
        """The actual's amount; one in another currency by the rate, where a 0 without a voucher is not written."""
        own = self._currency_of(actual)
        if own is None or document.currency is None or own == document.currency:
            return money(actual.get("msdyn_amount"))
        booked = money(actual.get("assumed_accountingamount"))
        if booked is None:
            rows = self._furthest_rows(actual)
            told = [s for s in rows if money(s.get("AccountingAmount")) or s.text("VoucherNumber", "Voucher")]
            booked = next((found for s in told if (found := money(s.get("AccountingAmount"))) is not None), None)
        if booked is None:
            return None
        if document.rate is not None:
            back = rounded(ARITHMETIC.divide(booked * 100, document.rate), document.currency)
            return back if fits(back) else None
        return booked if document.currency == document.accounting_currency else None
