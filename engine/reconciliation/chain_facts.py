"""What a chain's rows say about its documents, before anything is judged.

`ChainFacts` sorts the rows by role once; a `DocumentFacts` then answers, for one Finance line, the questions of
`positions` and `findings`: its Dataverse record, its actuals, how far each of them got. Rules:
`docs/domain/documents.md` §0, §1, §2, §5.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final

from engine import money
from engine.calendar import Company
from engine.chains.records import Row
from engine.chains.references import ReferenceData, resolve_reference
from engine.events.facts import Evidence, row_id_of
from engine.reconciliation.documents import Awaited, Cause
from engine.reconciliation.kinds import KINDS, DocumentKind

# How far an actual in Finance got, least advanced first (R16).
STATES: Final = (
    "not-imported",
    "line-not-seen",
    "draft",
    "invalid-actual",
    "error",
    "unrecoverable",
    "processing",
    "posted",
)
_ADVANCE: Final = {state: number for number, state in enumerate(STATES)}

Stop = tuple[Cause, Evidence, Awaited | None]
"""Why no actual was created: the cause, the event of the step reached last, and what is awaited."""

_NONE: Final[list[Row]] = []


class StagingFacts:
    """A staging row, the journal line it names, that line's journal, and how far they got."""

    __slots__ = ("journal", "line", "line_posted", "row", "state")

    def __init__(self, row: Row, line: Row | None, journal: Row | None) -> None:
        self.row = row
        self.line = line
        self.journal = journal
        self.state = self._state()
        self.line_posted = self.state == "posted"
        if row["voucher"]:
            self.state = "posted"

    @property
    def evidence(self) -> Evidence:
        """The event that set the state: of the line, or of its journal where that speaks for it."""
        if self.line is None:
            return self.row.evidence("line")
        if self.journal is not None and self.journal["status"] is not None and journal_decides(self.line):
            return self.journal.evidence("status")
        return self.line.evidence("status")

    def _state(self) -> str:
        if self.row["line"] is None:
            return "not-imported"
        if self.line is None:
            return "line-not-seen"
        return line_state(self.line, self.journal)


def line_state(line: Row, journal: Row | None) -> str:
    """The state of a journal line: its own, else its journal's; one that the map does not know counts as draft."""
    if journal_decides(line):
        return str(journal["status"] or "draft") if journal is not None else "draft"
    return str(line["status"] or "draft")


def journal_decides(line: Row) -> bool:
    """Whether a journal line has no state of its own, so that its journal's is taken."""
    return line["status"] is None and all(field != "status" for field, *_ in line.misfits)


def _furthest_first(item: StagingFacts) -> tuple[int, bool, bool, int, str]:
    """The order in which the staging rows of an actual are judged.

    Of two that are posted the posted line says more than a voucher: it names the journal that was posted. At a tie the
    line that was made first, which has the smaller RecId.
    """
    line = item.line.id if item.line is not None else ""
    return -_ADVANCE[item.state], not item.line_posted, item.line is None, len(line), line


class ActualFacts:
    """A cost actual: whether it reached Finance, is posted, whether it reverses or is reversed.

    `posted`: its journal line is posted, or a voucher stands on the staging row or on the actual (R22). `counts`: it
    has reached Finance (R14). `reversed_by` is a reversal that counts. `corrected` says that a reversal or a
    replacement was made, whether or not it counts yet; `original` is what a reversal reverses. `best` is the staging
    row that got furthest; its journal line is shown.
    """

    __slots__ = ("best", "corrected", "counts", "original", "posted", "reversal", "reversed_by", "row", "staging")

    def __init__(self, row: Row, staging: Sequence[StagingFacts]) -> None:
        self.row = row
        self.staging = staging
        self.best = min(staging, key=_furthest_first, default=None)
        self.posted = bool(row["voucher"]) or (self.best is not None and self.best.state == "posted")
        self.counts = self.posted or bool(staging)
        self.reversal = False
        self.reversed_by: ActualFacts | None = None
        self.original: ActualFacts | None = None
        self.corrected = False

    @property
    def effective(self) -> bool:
        """It counts and stands."""
        return self.counts and self.stands

    @property
    def stands(self) -> bool:
        """It reverses nothing, and no reversal that counts cancels it."""
        return not self.reversal and self.reversed_by is None

    @property
    def state(self) -> str:
        """How far it got in Finance: one of `STATES`; for one that counts."""
        if self.posted or self.best is None:
            return "posted"
        return self.best.state

    @property
    def advance(self) -> int:
        """`state` as a number that grows with it."""
        return _ADVANCE[self.state]


class ChainFacts:
    """The rows of one chain by role, each list by key, and its cost actuals."""

    def __init__(self, chain: str, rows: Sequence[Row], world: ReferenceData) -> None:
        self.id = chain
        self.world = world
        self.by_role: dict[str, list[Row]] = {}
        for row in rows:
            self.by_role.setdefault(row.role, []).append(row)
        self.lines = [row for kind in KINDS.values() for row in self.of(kind.line_role)]
        """The Finance lines: the documents of this chain, by key."""
        self.staging = self._staging()
        self.cost_actuals = [row for row in self.of("actual") if row["type"] == "cost"]
        self.actuals = self._actuals()

    def of(self, role: str) -> list[Row]:
        """The rows of a role, by key."""
        return self.by_role.get(role, _NONE)

    def _staging(self) -> dict[str | None, list[StagingFacts]]:
        lines = {line.id: line for line in self.of("journal-line")}
        by_actual: dict[str | None, list[StagingFacts]] = {}
        for row in self.of("staging"):
            line = lines.get(row["line"])
            journal = resolve_reference(self.world, line, "journal") if line is not None else None
            by_actual.setdefault(row["actual"], []).append(StagingFacts(row, line, journal))
        return by_actual

    def _actuals(self) -> list[ActualFacts]:
        """The cost actuals that are meant to reach Finance, with their reversals marked."""
        found = {
            row.id: ActualFacts(row, self.staging.get(row.id, ())) for row in self.cost_actuals if not row["skip_sync"]
        }
        for role, first, second in self._corrections():
            correction, original = found.get(first), found.get(second)
            if original is not None:
                original.corrected = True
            if correction is None or role != "REVERSING":
                continue
            correction.reversal = True
            correction.original = original
            if original is not None and correction.counts:
                original.reversed_by = correction
        return list(found.values())

    def _corrections(self) -> list[tuple[str, str, str]]:
        """What corrects what: role (in upper case), the reversal or replacement, its original."""
        return [
            (role, row["first"], row["second"])
            for row in self.of("connection")
            if (role := str(row["first_role"]).upper()) in ("REVERSING", "REPLACING")
            and str(row["second_role"]).upper() == "ORIGINAL"
        ]


class DocumentFacts(ABC):
    """One Finance line and what its chain says about it.

    Only the line with the smallest key owns the chain's Dataverse record and actuals; a second line that claims the
    same keys has none. `project` is the project on the line (for an invoice line that of its pending row), `currency`
    the document's own, `accounting_currency` that of the company's ledger (the document's own while no ledger is
    known), `rate` the accounting units for 100 units of the document's currency ("100" within one currency), `amount`
    what is compared with the actuals (with tax where a column for it is mapped; None when there is no usable one),
    and `name` company and transaction id (RecId where there is none, or another line has it already).
    """

    def __init__(self, chain: ChainFacts, line: Row) -> None:
        self.chain = chain
        self.line = line
        self.owns_chain = line.key == chain.lines[0].key
        self.pending = self._pending()
        self.header = resolve_reference(chain.world, line, "header")
        # An active record before a cancelled one: the cancelled one was put right by it.
        records = chain.of(self.kind.record_role) if self.owns_chain else []
        self.records = sorted(records, key=lambda row: row["state"] == "inactive") if len(records) > 1 else records
        self.record = self.records[0] if self.records else None
        self.dataverse_header = resolve_reference(chain.world, self.record, "header") if self.record else None
        self.actuals = chain.actuals if self.owns_chain else []
        self.effective = [actual for actual in self.actuals if actual.effective]
        self.company: Company | None = chain.world.directory.company(line.company)
        # Asked for by many rules; worked out once.
        holder = self.holder
        self.project: str | None = holder["project"] if holder is not None else None
        self.currency: str | None = line["currency"]
        self.accounting_currency = (self.company.currency if self.company else None) or self.currency
        self.rate = self._rate()
        self.amount = self._amount()
        self.name = self._name()

    def _pending(self) -> Row | None:
        """The pending invoice line's project row: the only place of its project and transaction id."""
        source = self.line["source_line"]
        if source is None:
            return None
        lines = {row.id for row in self.chain.of("pending-line") if row["source_line"] == source}
        return next((row for row in self.chain.of("pending-project") if row["pending_line"] in lines), None)

    def _name(self) -> str:
        holder = self.holder
        transaction = holder["transaction_id"] if holder is not None and self.owns_chain else None
        return f"{self.line.company or '?'}/{transaction or row_id_of(self.line.id)}"

    @property
    def project_row(self) -> Row | None:
        """Finance's row of the project."""
        return resolve_reference(self.chain.world, self.holder, "project") if self.holder is not None else None

    @property
    def charged_elsewhere(self) -> bool:
        """Charged to another company: its cost actual is Skip Sync by design (`docs/domain/documents.md` §0)."""
        other = self.project_company
        return other is not None and other != self.line.company

    # --- what differs between kinds ------------------------------------------------------------------------------

    kind: ClassVar[DocumentKind]
    record_has_amount: ClassVar[bool] = False
    """Whether the Dataverse record has the document's amount, so that both can be compared."""

    @property
    @abstractmethod
    def holder(self) -> Row | None:
        """The row that has the project and the transaction id."""

    @property
    @abstractmethod
    def rate_row(self) -> Row | None:
        """The row that has the exchange rate."""

    @property
    @abstractmethod
    def voucher(self) -> str | None:
        """The voucher of the document's own posting."""

    @property
    @abstractmethod
    def project_company(self) -> str | None:
        """The company that owns the project; None if it is not recorded."""

    @property
    @abstractmethod
    def entered_amount(self) -> int | None:
        """The amount as it was entered, in units of 1/10000."""

    @property
    @abstractmethod
    def posting(self) -> Evidence:
        """The event that says the line is posted."""

    @property
    @abstractmethod
    def posted(self) -> bool:
        """Whether the line is posted in Finance."""

    @property
    @abstractmethod
    def to_be_posted(self) -> bool:
        """Whether a line that is not posted will be: a draft, a rejected or a cancelled one has no row in the grids."""

    @abstractmethod
    def unapproved(self, record: Row) -> Stop | None:
        """Why Dataverse did not approve or confirm the record; None when it did, so that actuals are due."""

    @abstractmethod
    def approval(self, record: Row) -> Evidence:
        """The event that says the record is approved or confirmed."""

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
        """The document's amount in accounting currency: its own, else by its rate."""
        if self.line["accounting_amount"] is not None:
            return int(self.line["accounting_amount"])
        amount = self.amount
        return None if amount is None else money.converted(amount, self.rate, self.accounting_currency)

    def amount_of(self, actual: ActualFacts) -> int | None:
        """An actual's amount in the document's currency; None when it cannot be known.

        An actual in another currency enters by its accounting amount (the actual's, else its staging row's) through the
        document's rate. One whose currency row was not seen counts in the document's currency.
        """
        currency = self.chain.world.directory.currency(actual.row["currency"])
        if currency is None or self.currency is None or currency == self.currency:
            return actual.row["amount"]  # type: ignore[no-any-return]
        accounting = actual.row["accounting_amount"]
        if accounting is None and actual.best is not None:
            accounting = actual.best.row["accounting_amount"]
        return None if accounting is None else money.converted_back(accounting, self.rate, self.currency)
