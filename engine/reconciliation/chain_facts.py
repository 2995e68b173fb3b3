"""The facts of a chain and its documents, before any decision.

`ChainFacts` sorts the rows by role once. `DocumentFacts` then provides, for one Finance line, the facts that
`positions` and `findings` need: its Dataverse record, its actuals, and their states in Finance. Rules:
`docs/domain/documents.md` §0, §1, §2, §5.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import ClassVar, Final

from engine import money
from engine.calendar import Company
from engine.chains.records import Row
from engine.chains.references import ReferenceData, referenced_rows, resolve_reference
from engine.events.facts import Evidence, row_id_of
from engine.reconciliation.actual_facts import ActualFacts, StagingFacts, clears_nothing, written_amount
from engine.reconciliation.documents import Awaited, Cause
from engine.reconciliation.kinds import KINDS, DocumentKind

Stop = tuple[Cause, Evidence, Awaited | None]
"""Why no actual was created: the cause, the event of the step reached last, and what is awaited."""

_NONE: Final[list[Row]] = []
_NO_LINES: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})


class ChainFacts:
    """The rows of one chain by role, each list by key, and its cost actuals. `headers` are the keys of the headers of
    itemised expenses, which are no documents. `untyped` are the actuals of unknown type. `ambiguous` are the lines
    without a counterpart because there are several possible ones, each with those.
    """

    def __init__(
        self,
        chain: str,
        rows: Sequence[Row],
        reference_data: ReferenceData,
        headers: Collection[str] = (),
        ambiguous: Mapping[str, Sequence[str]] = _NO_LINES,
    ) -> None:
        self.id = chain
        self.reference_data = reference_data
        self.ambiguous = ambiguous
        self.by_role: dict[str, list[Row]] = {}
        for row in rows:
            self.by_role.setdefault(row.role, []).append(row)
        self.lines = [row for kind in KINDS.values() for row in self.of(kind.line_role) if row.key not in headers]
        """The Finance lines, which are the documents of the chain, by key."""
        self.home: str | None = self.lines[0].company if self.lines else None
        """The company of its documents."""
        self.staging = self._staging()
        self.cost_actuals = [row for row in self.of("actual") if row["type"] == "cost"]
        self.corrections = self._corrections()
        self.actuals = self._actuals()
        self.untyped = self._untyped()

    def of(self, role: str) -> list[Row]:
        """Return the rows of a role, by key."""
        return self.by_role.get(role, _NONE)

    def journal_of(self, line: Row) -> Row | None:
        """Return the journal of a journal line; None while it is unknown."""
        return resolve_reference(self.reference_data, line, "journal")

    def _staging(self) -> dict[str | None, list[StagingFacts]]:
        lines = {line.id: line for line in self.of("journal-line")}
        by_actual: dict[str | None, list[StagingFacts]] = {}
        for row in self.of("staging"):
            line = lines.get(row["line"])
            journal = self.journal_of(line) if line is not None else None
            by_actual.setdefault(row["actual"], []).append(StagingFacts(row, line, journal, self.home))
        return by_actual

    def _actuals(self) -> list[ActualFacts]:
        """Return the cost actuals that are to reach Finance, with their reversals marked."""
        rows = [row for row in self.cost_actuals if not row["skip_sync"]]
        actuals = {row.id: ActualFacts(row, self.staging.get(row.id, ()), self.home) for row in rows}
        for role, first, second in self.corrections:
            correction, original = actuals.get(first), actuals.get(second)
            if original is not None:
                original.corrected = True
            if correction is None or role != "REVERSING":
                continue
            correction.reversal = True
            correction.original = original
            if original is not None and correction.reached_finance:
                original.reversed_by = correction
        return list(actuals.values())

    def _untyped(self) -> list[ActualFacts]:
        """Return the actuals of which no event says whether they are a cost: each may be the cost of a document. One
        whose journal lines are all sales lines is none.
        """
        untyped = []
        for row in self.of("actual"):
            if row["type"] is not None:
                continue
            staging = self.staging.get(row.id, ())
            sales = [clears_nothing(item.line, [item.row]) for item in staging if item.line is not None]
            if not sales or not all(sales):
                untyped.append(ActualFacts(row, staging, self.home))
        return untyped

    def _corrections(self) -> list[tuple[str, str, str]]:
        """Return the corrections: role (upper case), id of the reversal or replacement, id of its original."""
        return [
            (role, row["first"], row["second"])
            for row in self.of("connection")
            if (role := str(row["first_role"]).upper()) in ("REVERSING", "REPLACING")
            and str(row["second_role"]).upper() == "ORIGINAL"
        ]


class DocumentFacts(ABC):
    """One Finance line with the facts that its chain contains about it.

    It has the Dataverse records and the cost actuals of its chain, unless the chain has several lines
    (`shared_chains`). `project` is the number of its project, None also while that is unknown (`has_project`).
    `currency` is the document currency, `accounting_currency` that of the company's ledger, or the document currency
    while no ledger is known. `rate` is the number of accounting units for 100 units of the document currency ("100"
    within one currency). `amount` is the amount that actuals are compared with: including tax if a tax column is
    mapped, None if unusable. `name` consists of company and transaction id, or the RecId if there is none or another
    document has it; `others` names the other documents of the chain.
    """

    def __init__(self, chain: ChainFacts, line: Row) -> None:
        self.chain = chain
        self.line = line
        source = line["source_line"]
        self.pending_lines = [row for row in chain.of("pending-line") if row["source_line"] == source] if source else []
        self.pending = self._pending()
        self.company: Company | None = chain.reference_data.directory.company(line.company)
        # Read by many rules, so computed once.
        self.currency: str | None = line["currency"]
        self.accounting_currency = (self.company.currency if self.company else None) or self.currency
        self.amount = self._amount()
        self.others: tuple[str, ...] = ()
        self.take(chain.of(self.kind.record_role), chain.cost_actuals, chain.actuals)

    def take(self, records: Sequence[Row], cost_actuals: Sequence[Row], actuals: Sequence[ActualFacts]) -> None:
        """Set the Dataverse records and the cost actuals of the document, and what follows from them."""
        # An active record precedes a cancelled one, which it replaced.
        self.records = sorted(records, key=lambda row: row["state"] == "inactive") if len(records) > 1 else records
        self.record = self.records[0] if self.records else None
        self.dataverse_header = self._refer(self.record, "header")
        self.cost_actuals = cost_actuals
        self.actuals = actuals
        self.effective = [actual for actual in actuals if actual.effective]
        self.headers = self._headers()
        self.header = self.headers[0] if len(self.headers) == 1 else None
        self.rate = self._rate()
        self.project: str | None = self._project()
        self.name = self.name_by(self.transaction_id)

    def _pending(self) -> Row | None:
        """Return the project row of the pending invoice line, the only row of Finance with its project and transaction
        id.
        """
        lines = {row.id for row in self.pending_lines}
        return next((row for row in self.chain.of("pending-project") if row["pending_line"] in lines), None)

    def _headers(self) -> list[Row]:
        """Return the invoice headers that the line may belong to: one, unless two vendors use one invoice number on one
        day and the vendor of the line is unknown.

        The posted line has no vendor account; its pending line has, for as long as Finance keeps it, and so has the
        invoice of its Dataverse line.
        """
        headers = referenced_rows(self.chain.reference_data, self.line, "header")
        vendors = {row["vendor"].upper() for row in self.pending_lines if row["vendor"] is not None}
        if not vendors and len(headers) > 1:
            vendor = self._refer(self.dataverse_header, "vendor")
            vendors = {vendor["number"].upper()} if vendor is not None and vendor["number"] is not None else set()
        if not vendors:
            return headers
        return [row for row in headers if row["vendor"] is None or row["vendor"].upper() in vendors]

    def name_by(self, transaction: str | None) -> str:
        """Return the name by a transaction id, by the RecId of the line without one."""
        return f"{self.line.company or '?'}/{transaction or row_id_of(self.line.id)}"

    def _refer(self, row: Row | None, name: str) -> Row | None:
        return resolve_reference(self.chain.reference_data, row, name) if row is not None else None

    # --- its project -------------------------------------------------------------------------------------------------

    def _project(self) -> str | None:
        """Return the project that Finance names; where it says nothing, that of the Dataverse record."""
        holder = self.holder
        if holder is not None and holder["project"] is not None:
            return str(holder["project"])
        row = self._refer(self.record, "project") if self.record is not None and self._said() is None else None
        return row["number"] if row is not None else None

    def _said(self) -> bool | None:
        """Return whether Finance sent a project (True) or an empty one (False); None if it sent neither.

        A column that no event has, or whose value cannot be read, says nothing.
        """
        holder = self.holder
        if holder is None:
            return None
        if holder["project"] is not None:
            return True
        missing = object()
        columns = [column for field, column, _ in holder.map.readers if field == "project"]
        return False if any(holder.record.values.get(column, missing) is None for column in columns) else None

    @property
    def has_project(self) -> bool | None:
        """Whether the document has a project; None if no event says so: absence is not a statement.

        | Finance | Dataverse | project |
        | --- | --- | --- |
        | sent a project | | yes |
        | sent an empty one | | no |
        | did not send it | has a record of the document, which it gets for projects only | yes |
        | did not send it, nor a row that would be beside it (`without_project_row`) | no record | no |
        | did not send it | no record | unknown |
        """
        said = self._said()
        if said is not None:
            return said
        if self.record is not None:
            return True
        return False if self.without_project_row else None

    @property
    def project_row(self) -> Row | None:
        """The project row of Finance, otherwise that of Dataverse."""
        if self._said() is None:
            return self._refer(self.record, "project")
        return self._refer(self.holder, "project")

    @property
    def charged_elsewhere(self) -> bool:
        """Return True if it is charged to another company: its cost actual is Skip Sync by design
        (`docs/domain/documents.md` §0).
        """
        other = self.project_company
        return other is not None and other != self.line.company

    # --- what differs between kinds ------------------------------------------------------------------------------

    kind: ClassVar[DocumentKind]
    record_has_amount: ClassVar[bool] = False
    """True if the Dataverse record has the amount of the document, so that both can be compared."""

    @property
    @abstractmethod
    def holder(self) -> Row | None:
        """The row of Finance with the project and the transaction id."""

    @property
    @abstractmethod
    def transaction_id(self) -> str | None:
        """The transaction id."""

    @property
    @abstractmethod
    def without_project_row(self) -> bool:
        """Return True if the rows that Finance sent show that the document has no row with a project."""

    @property
    @abstractmethod
    def rate_row(self) -> Row | None:
        """The row with the exchange rate."""

    @property
    @abstractmethod
    def voucher(self) -> str | None:
        """The voucher of the posting of the document."""

    @property
    @abstractmethod
    def project_company(self) -> str | None:
        """The company that owns the project; None if it is not recorded."""

    @property
    @abstractmethod
    def entered_amount(self) -> int | None:
        """The amount as entered, in units of 1/10000."""

    @property
    @abstractmethod
    def gross_amount(self) -> int | None:
        """The transaction amount to which the accounting amount of the line belongs, in units of 1/10000."""

    @property
    @abstractmethod
    def posting(self) -> Evidence:
        """The event that posted the line."""

    @property
    @abstractmethod
    def posted(self) -> bool:
        """Return True if the line is posted in Finance."""

    @property
    @abstractmethod
    def to_be_posted(self) -> bool:
        """Return True if an unposted line awaits posting. Drafts, rejected and cancelled lines do not, and have no row
        in the grids.
        """

    def withdrawal(self, record: Row) -> tuple[Cause, Evidence] | None:
        """Return how the record itself ended in Dataverse, with the event: no actual is due; None if it is active."""
        return ("cancelled-in-dataverse", record.evidence("state")) if record["state"] == "inactive" else None

    @abstractmethod
    def unapproved(self, record: Row) -> Stop | None:
        """Return why Dataverse has not approved or confirmed the record; None if it has, so that actuals are due."""

    @abstractmethod
    def approval(self, record: Row) -> Evidence:
        """Return the event that approved or confirmed the record."""

    # --- money -------------------------------------------------------------------------------------------------------

    def _rate(self) -> str | None:
        row = self.rate_row
        rate = row["exchange_rate"] if row is not None else None
        if rate is not None and rate != "0":
            return str(rate)
        return "100" if self.currency is not None and self.currency == self.accounting_currency else None

    def _amount(self) -> int | None:
        if self.line["amount"] is None:
            return None
        amount: int = self.line["amount"] + (self.line["tax"] or 0)
        return amount if money.fits(amount) else None

    @property
    def accounting_amount(self) -> int | None:
        """The amount in accounting currency: what posting the line put on the account.

        Finance sends the gross accounting amount, which is scaled to the net amount (recoverable tax goes elsewhere).
        Within one currency it is the amount itself, whatever was sent; without an amount sent it is converted by the
        rate. A transaction amount of 0 has the accounting amount as sent. All are rounded to the accounting currency.
        """
        amount, gross = self.amount, self.gross_amount
        if amount is not None and self.currency is not None and self.currency == self.accounting_currency:
            return self._booked(amount)
        sent: int | None = self.line["accounting_amount"]
        if sent is None:
            return None if amount is None else money.converted(amount, self.rate, self.accounting_currency)
        if not amount or not gross or amount == gross:
            return self._booked(sent)
        return self._booked(Fraction(sent * amount, gross))

    def _booked(self, amount: int | Fraction) -> int | None:
        """Return an amount as it is booked: rounded to the accounting currency."""
        if isinstance(amount, int) and amount % money.smallest(self.accounting_currency) == 0:
            return amount
        booked = money.rounded(Fraction(amount), self.accounting_currency)
        return booked if money.fits(booked) else None

    def amount_of(self, actual: ActualFacts) -> int | None:
        """Return the amount of an actual in the document currency; None if it is unknown.

        For an actual in another currency, the accounting amount (of the actual, otherwise of its staging row) is
        converted back by the rate of the document. An actual whose currency row is unknown counts in the document
        currency.
        """
        currency = self.chain.reference_data.directory.currency(actual.row["currency"])
        if currency is None or self.currency is None or currency == self.currency:
            return actual.row["amount"]  # type: ignore[no-any-return]
        accounting = actual.row["accounting_amount"]
        if accounting is None and actual.most_advanced is not None:
            accounting = written_amount(actual.most_advanced.row)
        return None if accounting is None else money.converted_back(accounting, self.rate, self.currency)
