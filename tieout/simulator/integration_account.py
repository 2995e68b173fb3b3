"""The integration account of a simulated company: the true amount of each of its parts.

The parts (`docs/how-it-decides.md`) follow from what the stories state, written apart from the engine. The ledger
follows from what was posted: what the documents booked less what the integration journal took out, whatever the parts
are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from tieout.simulator.amounts import rounded
from tieout.simulator.scenario import DocumentKind, Label
from tieout.simulator.totals import Sum

Window = tuple[date, date]
"""The first and the last day."""

MISSING_ACTUAL = "missing-actual"
MISSING_JOURNAL_LINE = "missing-journal-line"
AMOUNT_DIFFERENCE = "amount-difference"
EXCHANGE_DIFFERENCE = "exchange-difference"
AMOUNT_UNKNOWN = "amount-unknown"
BEFORE_WINDOW = "before-window"
AFTER_WINDOW = "after-window"
PROJECT_UNKNOWN = "project-unknown"
POSTING_WITHOUT_DOCUMENT = "posting-without-document"
POSTED_TWICE = "posted-twice"
POSTED_IN_OTHER_COMPANY = "posted-in-other-company"


@dataclass(slots=True)
class IntegrationAccount:
    """The integration accounts of one company; a kind of documents has one account, together they are one as well."""

    company: str
    currency: str
    ledger: Decimal = Decimal(0)
    """The balance of the ledger: booked less cleared."""
    _documents: dict[tuple[DocumentKind, date, str], Sum] = field(default_factory=dict)
    _rest: dict[tuple[DocumentKind, date], Sum] = field(default_factory=dict)
    """What the documents of a date leave: their parts outside a window."""
    _postings: dict[tuple[DocumentKind | None, str], Sum] = field(default_factory=dict)

    def add(self, label: Label) -> None:
        """Add what a document leaves in each part."""
        if label.excluded == PROJECT_UNKNOWN:
            self._add(label, PROJECT_UNKNOWN, label.accounting_parts.amount)
        if not label.in_account:
            return
        self.ledger += label.booked
        parts, rest = label.accounting_parts, label.booked - label.cleared
        if not label.computable:
            self._add(label, AMOUNT_UNKNOWN, rest)
        else:
            if label.misses_actual:
                self._add(label, MISSING_ACTUAL, parts.missing_actual)
            if label.misses_journal_line:
                self._add(label, MISSING_JOURNAL_LINE, parts.missing_journal_line)
            if label.difference:
                self._add(label, AMOUNT_DIFFERENCE, parts.difference)
            if label.exchange_difference:
                self._add(label, EXCHANGE_DIFFERENCE, label.exchange_difference)
        leaves = (parts.missing_actual, parts.missing_journal_line, parts.difference, label.exchange_difference)
        if any(leaves) or not label.computable:
            self._rest.setdefault((label.kind, label.date), Sum()).add(rest)

    def _add(self, label: Label, part: str, amount: Decimal) -> None:
        self._documents.setdefault((label.kind, label.date, part), Sum()).add(amount)

    def add_posting(self, kind: DocumentKind | None, part: str, cleared: Decimal) -> None:
        """Add a posted line that no document counts; `kind` is None if nothing says which account it cleared."""
        self._postings.setdefault((kind, part), Sum()).add(-cleared)

    def parts(self, kind: DocumentKind | None, window: Window) -> dict[str, tuple[str, int]]:
        """Return the parts that are not empty, each with its amount and count; without a kind, of all accounts."""
        found: dict[str, Sum] = {}
        for part, total in self._of(kind, window):
            known = found.setdefault(part, Sum())
            known.amount += total.amount
            known.documents += total.documents
        return {part: (str(rounded(sums.amount, self.currency)), sums.documents) for part, sums in found.items()}

    def _of(self, kind: DocumentKind | None, window: Window) -> Iterator[tuple[str, Sum]]:
        first, last = window
        for (of_kind, day, part), total in self._documents.items():
            # What is outside the sum belongs to no side of a window.
            if kind in (None, of_kind) and (first <= day <= last or part == PROJECT_UNKNOWN):
                yield part, total
        for (of_kind, day), total in self._rest.items():
            if kind in (None, of_kind) and not first <= day <= last:
                yield BEFORE_WINDOW if day < first else AFTER_WINDOW, total
        for (of_account, part), total in self._postings.items():
            if kind in (None, of_account):
                yield part, total
