"""Costs without a document that may be the cost of one that waits, by the naive model."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import combinations

from tests.support.naive_chains import ACTUAL, CONNECTION, INVOICE_LINE_RECORD, JOURNAL_LINE, STAGING, corrects
from tests.support.naive_documents import GROSS, Document, Documents
from tests.support.naive_records import Record
from tests.support.naive_sharing import COST, TIME
from tests.support.naive_values import choice, code, day, money, row_id, total

TYPES = {192350000, 192350004, 192350005, 192350006, 192350007, 192350008}
CATEGORY = {STAGING: "TransactionCategoryId", JOURNAL_LINE: "ProjCategoryId"}
PROJECT = {STAGING: "ProjectId", JOURNAL_LINE: "ProjId"}
AMOUNT = {STAGING: "Amount", JOURNAL_LINE: "ExtendedCost"}
CURRENCY = {STAGING: "TransactionCurrencyId", JOURNAL_LINE: "CostCurrency"}
TOGETHER = 8  # at most so many costs make up a document


@dataclass
class Cost:
    """What is known of a cost without a document."""

    company: str | None
    project: str | None
    amount: Decimal | None
    currency: str | None
    category: str | None
    days: list[date]


class Matches(Documents):
    """The documents that a cost without a document may belong to."""

    def matched(self, document: Document) -> bool:
        """Whether the document waits for an actual, and a cost without a document may be its cost, or several may."""
        if document.position != "missing-actual":
            return False
        costs = [cost for cost in self._unlinked() if self._may_be_cost(cost, document)]
        if document.parts["difference"] is None:
            return bool(costs)  # nobody knows its amount
        gross = money(document.line.get(GROSS[document.line.entity]))
        wanted = {amount for amount in (document.amount, gross) if amount is not None}
        if any(cost.amount is None or cost.amount in wanted for cost in costs):
            return True
        return any(self._make_up(amount, costs) for amount in wanted)

    def _make_up(self, amount: Decimal, costs: list[Cost]) -> bool:
        """Whether some of the costs, each a part of the amount, add up to it."""
        parts = [c.amount for c in costs if c.amount and c.amount * amount > 0 and abs(c.amount) < abs(amount)]
        sizes = range(2, min(TOGETHER, len(parts)) + 1)
        return any(total(some) == amount for size in sizes for some in combinations(parts, size))

    def _unlinked(self) -> list[Cost]:
        """Everything in either system that may be a cost and belongs to no document; a cancelled one is none."""
        linked = {
            record.key for d in self._documents if d.excluded != "cancelled" for record in self._chain_of[d.line.key]
        }
        costs = []
        for actual in self._all(ACTUAL):
            if actual.key not in linked and self._may_be_of_cost(actual) and not self._is_undone(actual):
                costs.append(self._cost_of(actual, self._copies(self._staging_rows(actual))))
        return costs + self._in_finance_alone(linked)

    def _in_finance_alone(self, linked: set[tuple[str, str]]) -> list[Cost]:
        """The costs of actuals that do not exist, and of lines that no staging row names."""
        groups: dict[str, list[Record]] = {}
        for row in self._all(STAGING):
            actual_id = row_id(row.get("ActualId"))
            if self._is_alone(row, linked) and self._find(ACTUAL, actual_id) is None:
                groups.setdefault(actual_id or f"none {row.id}", []).append(row)
        costs = [self._cost_of(None, self._copies(rows)) for rows in groups.values() if not self._is_sales(rows)]
        named = {row_id(row.get("ProjAdvancedJournalLine")) for row in self._all(STAGING)}
        lines = [line for line in self._all(JOURNAL_LINE) if self._is_alone(line, linked) and line.id not in named]
        return costs + [self._cost_of(None, [line]) for line in lines if self._says_cost(line)]

    def _is_alone(self, row: Record, linked: set[tuple[str, str]]) -> bool:
        """Whether no document has the row, or only one without any actual that may be a cost."""
        if row.key not in linked:
            return True
        return not any(other.entity == ACTUAL and self._is_of_cost(other) for other in self._chain_of[row.key])

    def _may_be_of_cost(self, actual: Record) -> bool:
        """A cost, or of a type that nothing says. Hours are the cost of vendor invoice lines at most."""
        entities = {record.entity for record in self._chain_of[actual.key]}
        if choice(actual.get("msdyn_transactionclassification")) == TIME and INVOICE_LINE_RECORD not in entities:
            return False
        return self._is_of_cost(actual)

    def _is_of_cost(self, actual: Record) -> bool:
        kind = choice(actual.get("msdyn_transactiontypecode"))
        return kind == COST or (kind not in TYPES and not self._is_sales(self._staging_rows(actual)))

    def _is_sales(self, rows: list[Record]) -> bool:
        """Whether the rows name lines, and all these are sales lines."""
        pairs = [(line, row) for row in rows if (line := self._find(JOURNAL_LINE, row.get("ProjAdvancedJournalLine")))]
        return bool(pairs) and not any(self._says_cost(line) or self._is_silent(line, row) for line, row in pairs)

    def _says_cost(self, line: Record) -> bool:
        return bool(code(line.get("CostCurrency")) or money(line.get("ExtendedCost")))

    def _is_silent(self, line: Record, row: Record) -> bool:
        """A line that never said anything about cost, beside a staging row with an amount."""
        never = not {"CostCurrency", "ExtendedCost"} & line.columns.keys()
        return never and bool(money(row.get("Amount")) or money(row.get("AccountingAmount")))

    def _cost_of(self, actual: Record | None, copies: list[Record]) -> Cost:
        """What the actual says, and what its rows in Finance say where it says nothing."""
        amount = money(actual.get("msdyn_amount")) if actual else None
        currency = self._currency_of(actual) if actual else None
        if amount is None:
            for copy in copies:
                if (amount := money(copy.get(AMOUNT[copy.entity]))) is not None:
                    currency = code(copy.get(CURRENCY[copy.entity]))
                    break
        project = self._find("msdyn_project", actual.get("msdyn_project")) if actual else None
        names = [project.text("assumed_projectnumber") if project else None]
        names += [copy.text(PROJECT[copy.entity]) for copy in copies]
        companies = [row.company for row in ([actual] if actual else []) + copies if row.company]
        own = ("msdyn_accountingdate", "msdyn_documentdate")
        days = [on for column in own if actual and (on := day(actual.get(column))) is not None]
        if actual and not days:  # the day on which Finance posts says nothing of the document
            days = [on for copy in copies if (on := day(copy.get("AccountingDate"))) is not None]
        return Cost(
            company=companies[0] if companies else None,
            project=next((name.casefold() for name in names if name), None),
            amount=amount,
            currency=currency,
            category=self._category_of(actual) if actual else self._first(copies, CATEGORY),
            days=days,
        )

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

    def _may_be_cost(self, cost: Cost, document: Document) -> bool:
        near = not cost.days or document.on is None or any(abs((on - document.on).days) <= 1 for on in cost.days)
        return (
            cost.company in (None, document.company)
            and cost.project is not None
            and cost.project == (document.project or "").casefold()
            and (cost.currency is None or document.currency in (None, cost.currency))
            and near
            # A vendor invoice line is known by its project category alone, as `naive_documents` reads it.
            and not self._is_of_other_category(cost.category, document.category)
        )

    def _copies(self, rows: list[Record]) -> list[Record]:
        """Staging rows and their journal lines, in the order of the rows."""
        copies = []
        for row in sorted(rows, key=lambda row: row.key):
            line = self._find(JOURNAL_LINE, row.get("ProjAdvancedJournalLine"))
            copies += [row] if line is None else [row, line]
        return copies

    def _is_of_other_category(self, one: str | None, other: str | None) -> bool:
        return one is not None and other is not None and one.casefold() != other.casefold()

    def _category_of(self, actual: Record) -> str | None:
        category = self._find("msdyn_transactioncategory", actual.get("msdyn_transactioncategory"))
        return category.text("msdyn_transactioncategorynumber") if category else None

    def _first(self, rows: list[Record], columns: dict[str, str]) -> str | None:
        return next((text for row in rows if (text := row.text(columns[row.entity]))), None)
