"""The facts of a cost actual: its staging rows and journal lines, the state that it reached in Finance, whether it is
posted. Rules: `docs/domain/documents.md` §2, §5.
"""

from collections.abc import Sequence
from typing import Final

from engine.chains.records import Row
from engine.chains.references import ReferenceData, resolve_reference
from engine.events.facts import Evidence

# The states of an actual in Finance, least advanced first (R16).
STATES: Final = (
    "not-imported",
    "line-not-seen",
    "draft",
    "invalid-actual",
    "error",
    "unrecoverable",
    "processing",
    "posted-in-other-company",
    "posted",
)
_PROGRESS: Final = {state: number for number, state in enumerate(STATES)}


class StagingFacts:
    """A staging row, the journal line that it names, the journal of that line, and the state that they reached in the
    company of the document (`home`). `posted_line` tells whether the line is posted, in whatever company.
    """

    __slots__ = ("journal", "line", "line_posted", "posted_line", "row", "state")

    def __init__(self, row: Row, line: Row | None, journal: Row | None, home: str | None = None) -> None:
        self.row = row
        self.line = line
        self.journal = journal
        self.state = self._state()
        self.posted_line = self.line_posted = self.state == "posted"
        if row["voucher"]:
            self.state = "posted"
        if self.state == "posted" and self.is_elsewhere(home):
            self.state = "posted-in-other-company"
            self.line_posted = False

    @property
    def company(self) -> str | None:
        """The company of a posting: that of the line, otherwise that of the staging row."""
        return (self.line.company if self.line is not None else None) or self.row.company

    def is_elsewhere(self, home: str | None) -> bool:
        """Return True if it is known to belong to another company."""
        return home is not None and self.company is not None and self.company != home

    @property
    def evidence(self) -> Evidence:
        """The event that determined the state: of the line, or of its journal if that determines the state."""
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
    """Return the state of a journal line: its own, otherwise that of its journal. A state unknown to the map counts as
    draft.
    """
    if journal_decides(line):
        return str(journal["status"] or "draft") if journal is not None else "draft"
    return str(line["status"] or "draft")


def is_posted(line: Row, reference_data: ReferenceData) -> bool:
    """Return True if an integration journal line, which may be deleted, is posted."""
    return line_state(line, resolve_reference(reference_data, line, "journal")) == "posted"


def written_amount(staging: Row) -> int | None:
    """Return the accounting amount of a staging row; 0 without a voucher is not written."""
    amount: int | None = staging["accounting_amount"]
    return amount if amount or staging["voucher"] else None


def clears_nothing(line: Row, staging: Sequence[Row] = ()) -> bool:
    """Return True for a sales line: one without a cost currency and a cost amount.

    A line of which no event had either is none where one of its staging rows has an amount.
    """
    if line["currency"] is not None or line["amount"]:
        return False
    return line.was_sent("currency", "amount") or not any(row["amount"] or written_amount(row) for row in staging)


def journal_decides(line: Row) -> bool:
    """Return True if a journal line has no state of its own, so that the state of its journal applies."""
    return line["status"] is None and all(field != "status" for field, *_ in line.misfits)


def _furthest_first(item: StagingFacts) -> tuple[int, bool, bool, int, str]:
    """Sort key of the staging rows of an actual, the most advanced first.

    Of two posted rows, one with a posted line precedes one with a voucher only, because the line names the posted
    journal. On a tie, the older line, with the smaller RecId, comes first.
    """
    line = item.line.id if item.line is not None else ""
    return -_PROGRESS[item.state], not item.posted_line, item.line is None, len(line), line


class ActualFacts:
    """A cost actual: whether it reached Finance, is posted, and is a reversal or reversed.

    `posted`: its journal line is posted, or the staging row or the actual has a voucher (R22). `reached_finance`: it
    has a staging row or is posted, so that it counts for R14. `reversed_by` is a reversal that reached Finance.
    `corrected`: a reversal or replacement exists, even if that has not reached Finance yet. `original` is the actual
    that a reversal reverses. `most_advanced` is the most advanced staging row, whose journal line is shown.
    `elsewhere`: posted in another company than that of the document, so not for it, whatever voucher it has.
    """

    __slots__ = (
        "corrected",
        "elsewhere",
        "most_advanced",
        "original",
        "posted",
        "reached_finance",
        "reversal",
        "reversed_by",
        "row",
        "staging",
    )

    def __init__(self, row: Row, staging: Sequence[StagingFacts], home: str | None = None) -> None:
        self.row = row
        self.staging = staging
        self.most_advanced = min(staging, key=_furthest_first, default=None)
        best = self.most_advanced.state if self.most_advanced is not None else None
        self.posted = best == "posted"
        self.elsewhere = False
        if not self.posted and (row["voucher"] or best == "posted-in-other-company"):
            known = bool(staging) and all(item.is_elsewhere(home) for item in staging)
            self.elsewhere = best == "posted-in-other-company" or known
            self.posted = not self.elsewhere
        self.reached_finance = self.posted or bool(staging)
        self.reversal = False
        self.reversed_by: ActualFacts | None = None
        self.original: ActualFacts | None = None
        self.corrected = False

    @property
    def effective(self) -> bool:
        """Return True if it reached Finance, and is neither a reversal nor reversed."""
        return self.reached_finance and self.unreversed

    @property
    def unreversed(self) -> bool:
        """Return True if it is not a reversal and no reversal that reached Finance cancels it."""
        return not self.reversal and self.reversed_by is None

    @property
    def state(self) -> str:
        """The state that it reached in Finance, one of `STATES`. Only valid if it reached Finance."""
        if self.elsewhere or self.posted or self.most_advanced is None:
            return "posted-in-other-company" if self.elsewhere else "posted"
        return self.most_advanced.state

    @property
    def progress(self) -> int:
        """The index of `state` in `STATES`."""
        return _PROGRESS[self.state]
