"""Actuals without a document that may be the cost of one that waits, by the naive model."""

from datetime import date

from tests.support.naive_chains import ACTUAL, CONNECTION, JOURNAL_LINE, STAGING, corrects
from tests.support.naive_documents import Document, Documents
from tests.support.naive_records import Record
from tests.support.naive_sharing import COST, TIME
from tests.support.naive_values import choice, day, money, row_id


class Matches(Documents):
    """The documents that an actual without a document may belong to."""

    def matched(self, document: Document) -> bool:
        """Whether the document waits for an actual and one without a document has its values."""
        if document.position != "missing-actual" or document.on is None or document.parts["difference"] is None:
            return False
        return any(self._may_be_cost(actual, document) for actual in self._unlinked())

    def _unlinked(self) -> list[Record]:
        """Cost actuals whose chain has no document, without those that are reversed in Finance and their reversals."""
        with_document = {record.key for d in self._documents for record in self._chain_of[d.line.key]}
        return [
            actual
            for actual in self._all(ACTUAL)
            if choice(actual.get("msdyn_transactiontypecode")) == COST
            and choice(actual.get("msdyn_transactionclassification")) != TIME
            and actual.key not in with_document
            and not self._is_undone(actual)
        ]

    def _is_undone(self, actual: Record) -> bool:
        reversals = [r for r in self._chain_of[actual.key] if r.entity == CONNECTION and corrects(r) == "reversing"]
        if actual.get("assumed_skipsync") in (True, 1):
            return False
        for connection in reversals:
            first, second = row_id(connection.get("msdyn_transaction1")), row_id(connection.get("msdyn_transaction2"))
            reversal = self._find(ACTUAL, first)
            if first == actual.id:
                return True
            if second == actual.id and reversal is not None and self._counts(reversal) and self._reached(reversal):
                return True
        return False

    def _counts(self, actual: Record) -> bool:
        is_cost = choice(actual.get("msdyn_transactiontypecode")) == COST
        return is_cost and actual.get("assumed_skipsync") not in (True, 1)

    def _may_be_cost(self, actual: Record, document: Document) -> bool:
        currency = self._currency_of(actual)
        return (
            self._company_of_actual(actual) == document.company
            and self._project_of_actual(actual) == (document.project or "").casefold()
            and money(actual.get("msdyn_amount")) == document.amount
            and (currency is None or document.currency in (None, currency))
            and any(abs((on - document.on).days) <= 1 for on in self._days(actual) if document.on is not None)
            and not self._is_of_other_category(actual, document)
        )

    def _copies(self, actual: Record) -> list[Record]:
        """The staging rows of an actual and their journal lines, in the order of the rows."""
        copies = []
        for row in sorted(self._staging_rows(actual), key=lambda row: row.key):
            line = self._find(JOURNAL_LINE, row.get("ProjAdvancedJournalLine"))
            copies += [row] if line is None else [row, line]
        return copies

    def _company_of_actual(self, actual: Record) -> str | None:
        return actual.company or next((copy.company for copy in self._copies(actual) if copy.company), None)

    def _project_of_actual(self, actual: Record) -> str | None:
        project = self._find("msdyn_project", actual.get("msdyn_project"))
        number = project.text("assumed_projectnumber") if project else None
        columns = {STAGING: "ProjectId", JOURNAL_LINE: "ProjId"}
        numbers = [number, *(copy.text(columns[copy.entity]) for copy in self._copies(actual))]
        return next((found.casefold() for found in numbers if found), None)

    def _days(self, actual: Record) -> list[date]:
        columns = ("msdyn_accountingdate", "msdyn_documentdate")
        return [on for column in columns if (on := day(actual.get(column))) is not None]

    def _is_of_other_category(self, actual: Record, document: Document) -> bool:
        category = self._find("msdyn_transactioncategory", actual.get("msdyn_transactioncategory"))
        number = category.text("msdyn_transactioncategorynumber") if category else None
        # A vendor invoice line is known by its project category alone, as `naive_documents` reads it.
        own = document.category
        return number is not None and own is not None and number.casefold() != own.casefold()
