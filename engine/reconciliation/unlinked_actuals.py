"""Cost actuals that belong to no document, and the documents whose cost they may be (finding `possible-match`).

Dataverse may create an actual without its source document. Its document then waits for an actual, and a repeated export
or approval would cost it a second time. A document and an actual are compared when the document is read, so that no
chain depends on another one.
"""

from collections.abc import Collection, Iterator
from datetime import date
from typing import Final

from engine.chains.references import resolve_reference
from engine.events.facts import row_id_of
from engine.reconciliation.chain_facts import ChainFacts
from engine.reconciliation.documents import Document, Finding, UnlinkedActual

NAMED: Final = 3
"""The largest number of actuals that a finding names."""


def unlinked_actuals(chain: ChainFacts) -> Iterator[UnlinkedActual]:
    """Yield the cost actuals of a chain without a document, posted or not, by key.

    Hours are the cost of no document. One whose reversal has reached Finance, and the reversal, cost nothing. The rows
    in Finance say the company and the project that an actual does not say itself.
    """
    reversed_ids = {actual.row.id for actual in chain.actuals if not actual.unreversed}
    for row in chain.cost_actuals:
        if row.id in reversed_ids or row["amount"] is None or row["class"] == "time":
            continue
        copies = [copy for item in chain.staging.get(row.id, ()) for copy in (item.row, item.line) if copy is not None]
        project = resolve_reference(chain.reference_data, row, "project")
        number = project["number"] if project is not None else None
        number = number or next((copy["project"] for copy in copies if copy["project"]), None)
        company = row.company or next((copy.company for copy in copies if copy.company), None)
        dates = tuple(sorted({day for day in (row["accounting_date"], row["document_date"]) if day}))
        if company is None or number is None or not dates:
            continue
        category = resolve_reference(chain.reference_data, row, "category")
        yield UnlinkedActual(
            key=row.key,
            company=company,
            project=number.upper(),
            amount=row["amount"],
            currency=chain.reference_data.directory.currency(row["currency"]),
            category=category["number"] if category is not None else None,
            dates=dates,
        )


def tokens_of_actual(actual: UnlinkedActual) -> list[str]:
    """Return what a document must have in common with an actual: company, project, amount, and one of its dates."""
    return [_token(actual.company, actual.project, actual.amount, day) for day in actual.dates]


def tokens_of_document(document: Document) -> list[str]:
    """Return the tokens of the actuals that a document may match: of its date, and of the day before and after it.

    None for a document that does not wait for an actual, or lacks one of the values.
    """
    amount = document.amounts.amount if document.amounts is not None else None
    if document.position != "missing-actual" or document.company is None or document.project is None:
        return []
    if amount is None or document.date is None:
        return []
    return [_token(document.company, document.project.upper(), amount, day) for day in _around(document.date)]


def _token(company: str, project: str, amount: int, day: str) -> str:
    return f"{company}|{amount}|{day}|{project}"


def _around(day: str) -> list[str]:
    middle = date.fromisoformat(day).toordinal()
    days = [number for number in (middle - 1, middle, middle + 1) if 1 <= number <= date.max.toordinal()]
    return [date.fromordinal(number).isoformat() for number in days]


def is_possible_match(document: Document, currency: str | None, category: str | None) -> bool:
    """Return True if an actual with a common token may be the cost of the document, by its currency and category.

    An actual whose currency row is unknown counts in the currency of the document, as everywhere. A category that is
    unknown on one side cannot be compared and is no obstacle.
    """
    if currency is not None and document.currency is not None and currency != document.currency:
        return False
    own = document.project_category
    return category is None or own is None or category.upper() == own.upper()


def possible_match(document: Document, actuals: Collection[str]) -> Finding:
    """Return the finding of a document that these actuals, by record key, may belong to."""
    names = [row_id_of(key.split(":", 2)[2]) for key in sorted(actuals)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    parameters = {"actual": ", ".join(names[:NAMED]) + more}
    return Finding("possible-match", document.key, document.document, parameters, document.evidence)
