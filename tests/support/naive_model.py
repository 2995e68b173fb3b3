"""The rules, written a second time and as plainly as possible.

Everything is recomputed from all events on each construction: no increments, no caches, no store. It shares no code
with the engine, so that the two can be compared on generated histories. Where the requirements leave room it follows
`docs/decisions/0001-rules-where-the-requirements-leave-room.md`.

The modules follow the order of the work, each a class on the one before: `naive_values`, `naive_records` (events →
records → companies), `naive_chains`, `naive_actuals`, `naive_documents`, `naive_matches`; this one answers for grids
and tiles.
"""

from datetime import date
from decimal import Decimal
from typing import Any

from tests.support.naive_chains import ACTUAL, EXPENSE, INVOICE_LINE
from tests.support.naive_documents import Document
from tests.support.naive_matches import Matches
from tests.support.naive_records import Record
from tests.support.naive_sharing import is_cost, skips_sync
from tests.support.naive_values import choice, day, money, rounded, shown, total, written


class NaiveModel(Matches):
    """What the product must show after these events, in whatever order they arrive."""

    def documents(
        self,
        company: str,
        kind: str,
        view: str = "all",
        start: date | str | None = None,
        end: date | str | None = None,
    ) -> list[dict[str, Any]]:
        """The rows of a grid, by document; no start or no end means unbounded, not the default window."""
        rows = self._select(company, kind, view, start, end)
        return [{**document.row(), "possible_match": self.matched(document)} for document in rows]

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

    def _not_synced(self, company: str, currency: str | None) -> dict[str, Any]:
        """Actuals of the company that should be in Finance and have no staging row there."""
        amounts = []
        for actual in self._all(ACTUAL):
            document = self._document_of(actual)
            where = actual.company or (document.company if document else None)
            if (
                where != company
                or choice(actual.get("msdyn_transactiontypecode")) is None
                or actual.is_ghost
                or skips_sync(actual)
                or self._staging_rows(actual)
            ):
                continue
            amounts.append(self._accounting_amount(actual, document, currency))
        known = total(amount for amount in amounts if amount is not None)
        return {"amount": shown(known, currency), "records": len(amounts)}

    def _document_of(self, actual: Record) -> Document | None:
        """The document that the actual counts for, else the first of its chain; None for a line that has no row."""
        described = self._described(self._chain_of[actual.key])
        having = [document for document, mine in described if is_cost(actual) and actual in mine]
        return (having + [document for document, _ in described] + [None])[0]

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
