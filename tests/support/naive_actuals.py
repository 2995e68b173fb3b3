"""The step that actuals have reached in Finance, by the naive model."""

from datetime import datetime

from tests.support.naive_chains import EXPENSE_LINE, JOURNAL, JOURNAL_LINE, POSTED_LINE, STAGING, Chains
from tests.support.naive_records import Record
from tests.support.naive_values import choice, row_id

LINE_STATES = {
    0: "draft", 1: "error", 2: "processing", 3: "posted", 4: "unrecoverable", 5: "invalid-actual",
}  # fmt: skip
# Steps of an actual in Finance, least advanced first.
STEPS = (
    "not-imported", "line-not-seen", "draft", "invalid-actual", "error", "unrecoverable",
    "processing", "posted-in-other-company", "posted",
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


class Actuals(Chains):
    """The step that each actual has reached in Finance, and the watermarks of the feeds."""

    def _claim(self, cause: str, since: datetime, awaited: str | None = None) -> str:
        """The cause. One that rests on an absence is reported only up to the watermark of its source.

        `since` is the time of the previous step; `awaited` is the entity of a row that is missing.
        """
        if cause not in AWAITED_FROM:
            return cause
        until = self.complete_until.get(AWAITED_FROM[cause])
        if until is not None:
            return cause if until >= since else "feed-silent"
        return "not-observed" if awaited and awaited not in self.entities_seen else cause

    def _staging_rows(self, actual: Record) -> list[Record]:
        return [s for s in self._all(STAGING) if row_id(s.get("ActualId")) == actual.id]

    def _reached(self, actual: Record) -> bool:
        return bool(self._staging_rows(actual)) or self._posted(actual)

    def _posted(self, actual: Record) -> bool:
        """A posted journal line, a voucher on a staging row, or a voucher on the actual; in the document's company."""
        rows = self._staging_rows(actual)
        steps = {self._step_of_row(row) for row in rows}
        if "posted" in steps:
            return True
        has_voucher = actual.text("assumed_vouchernumber", "msdyn_externalreferenceid") is not None
        return has_voucher and not self._elsewhere(actual)

    def _elsewhere(self, actual: Record) -> bool:
        """Posted, and in another company than that of the document alone."""
        rows = self._staging_rows(actual)
        steps = {self._step_of_row(row) for row in rows}
        if "posted" in steps:
            return False
        if "posted-in-other-company" in steps:
            return True
        has_voucher = actual.text("assumed_vouchernumber", "msdyn_externalreferenceid") is not None
        return has_voucher and bool(rows) and all(self._is_foreign(row) for row in rows)

    def _is_foreign(self, staging: Record) -> bool:
        """The company of a posting is that of the line, else of the staging row."""
        line = self._find(JOURNAL_LINE, staging.get("ProjAdvancedJournalLine"))
        company = (line.company if line else None) or staging.company
        home = self._home(staging)
        return company is not None and home is not None and company != home

    def _home(self, record: Record) -> str | None:
        """The company of the document in the chain of a record."""
        chain = self._chain_of[record.key]
        lines = [
            r for r in chain if r.entity in (EXPENSE_LINE, POSTED_LINE) and not r.is_ghost and not self._is_header(r)
        ]
        return min(lines, key=lambda r: r.key).company if lines else None

    def _is_header(self, line: Record) -> bool:
        """The header of an itemised expense: another line names it as its parent."""
        return any(
            row_id(other.get("ParentRecId")) == line.id and other.id != line.id
            for other in self.records.values()
            if other.entity == EXPENSE_LINE == line.entity and not other.is_ghost
        )

    def _step_of_row(self, staging: Record) -> str:
        line_id = row_id(staging.get("ProjAdvancedJournalLine"))
        line = self._find(JOURNAL_LINE, line_id)
        if line_id is None:
            step = "not-imported"
        elif line is None:
            step = "line-not-seen"
        else:
            step = self._line_state(line)
        if staging.text("VoucherNumber", "Voucher"):
            step = "posted"
        return "posted-in-other-company" if step == "posted" and self._is_foreign(staging) else step

    def _line_state(self, line: Record) -> str:
        """The line's own state, else its journal's; an unknown state counts as draft."""
        status = line.get("Status")
        if status is None:
            journal = self._find(JOURNAL, line.get("ProjAdvancedJournal"))
            status = journal.get("Status") if journal else None
        state = choice(status)
        return LINE_STATES.get(state, "draft") if state is not None else "draft"

    def _furthest_rows(self, actual: Record) -> list[Record]:
        """Of several staging rows of an actual the most advanced ones are judged."""
        rows = self._staging_rows(actual)
        furthest = max((STEPS.index(self._step_of_row(row)) for row in rows), default=None)
        return [row for row in rows if STEPS.index(self._step_of_row(row)) == furthest]

    def _step(self, actual: Record) -> str:
        if self._elsewhere(actual):
            return "posted-in-other-company"
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
