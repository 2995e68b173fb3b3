"""What is wrong with a chain beyond where its documents stand (R18).

To add a finding: write a check here that yields `Finding`s, add it to one of the lists at the end, and give its code words in
`explanations.FINDINGS`. Checks see facts only; what depends on the time of day is a predicate of a query (`store.queries`).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from engine import money
from engine.calendar import same_period
from engine.changes import Evidence, row_id_of
from engine.documents import Amounts, Finding
from engine.facts import ActualFacts, ChainFacts, DocumentFacts
from engine.links import LARGEST_CHAIN
from engine.positions import Verdict
from engine.records import Row
from engine.references import referred

_Found = Iterator[Finding]


def _finding(code: str, row: Row, document: str | None, evidence: Evidence | None = None, **parameters: Any) -> Finding:
    shown = {name: value for name, value in parameters.items() if value is not None}
    return Finding(code, row.key, document, shown, evidence or row.existence)


# --- of a document ---------------------------------------------------------------------------------------------------


def _amount_differs(facts: DocumentFacts, verdict: Verdict, amounts: Amounts | None) -> _Found:
    """The actuals add up to something else than the document; judged once none of them is under way."""
    if amounts is None or verdict.position not in ("missing-journal-line", "reconciled"):
        return
    if amounts.amount is not None and _unlike(amounts.difference, facts.currency):
        yield _finding(
            "amount-differs",
            facts.line,
            facts.name,
            document_amount=money.text(amounts.amount, facts.currency),
            other_amount=money.text(amounts.amount - amounts.difference, facts.currency),
            currency=facts.currency,
        )


def _unlike(difference: int, currency: str | None) -> bool:
    """Beyond half the currency's smallest unit: a tolerance for findings only, sums stay exact."""
    return 2 * abs(difference) > money.smallest(currency)


def _not_computable(facts: DocumentFacts, verdict: Verdict, amounts: Amounts | None) -> _Found:
    if amounts is None:
        yield _finding("not-computable", facts.line, facts.name)


def _record_differs(facts: DocumentFacts, verdict: Verdict, amounts: Amounts | None) -> _Found:
    """The Dataverse record tells another amount, currency or project than the Finance line."""
    record = facts.record
    if record is None:
        return
    directory = facts.chain.world.directory
    currency = directory.currency(record["currency"])
    if currency is not None and facts.currency is not None and currency != facts.currency:
        yield _finding("currency-differs", record, facts.name, document_currency=facts.currency, other_currency=currency)
    elif facts.kind == "expense" and facts.amount is not None and record["amount"] is not None:
        if _unlike(facts.amount - record["amount"], facts.currency):
            yield _finding(
                "amount-differs",
                record,
                facts.name,
                record.evidence("amount"),
                document_amount=money.text(facts.amount, facts.currency),
                other_amount=money.text(record["amount"], facts.currency),
                currency=facts.currency,
            )
    yield from _project_differs(facts, record, _dataverse_project(facts.chain, record))


def _dataverse_project(chain: ChainFacts, row: Row) -> str | None:
    project = referred(chain.world, row, "project")
    return project["number"] if project is not None else None


def _project_differs(facts: DocumentFacts, row: Row, project: str | None) -> _Found:
    if project is not None and facts.project is not None and project.upper() != facts.project.upper():
        yield _finding(
            "project-differs", row, facts.name, row.evidence("project"), document_project=facts.project, other_project=project
        )


def _actuals_differ(facts: DocumentFacts, verdict: Verdict, amounts: Amounts | None) -> _Found:
    for actual in facts.actuals:
        currency = facts.chain.world.directory.currency(actual.row["currency"])
        if currency is not None and facts.currency is not None and currency != facts.currency:
            yield _finding(
                "currency-differs", actual.row, facts.name, document_currency=facts.currency, other_currency=currency
            )
        yield from _project_differs(facts, actual.row, _dataverse_project(facts.chain, actual.row))
        yield from _date_differs(facts, actual)


def _date_differs(facts: DocumentFacts, actual: ActualFacts) -> _Found:
    """The accounting date lies in another period than the document: the cost and the account are cleared in different months."""
    document_date = facts.line["date"]
    accounting_date = actual.row["accounting_date"] or actual.row["document_date"]
    if document_date is None or accounting_date is None or same_period(facts.company, document_date, accounting_date):
        return
    yield _finding(
        "date-differs",
        actual.row,
        facts.name,
        actual.row.evidence("accounting_date", "document_date"),
        document_date=document_date,
        other_date=accounting_date,
    )


def _staging_differs(facts: DocumentFacts, verdict: Verdict, amounts: Amounts | None) -> _Found:
    """What reached Finance is not what Dataverse sent, or was posted at another rate than the document."""
    for actual in facts.actuals:
        for item in actual.staging:
            yield from _copy_differs(facts, actual, item.row)
            if item.line is not None:
                yield from _copy_differs(facts, actual, item.line)
            yield from _rate_differs(facts, item.row)


def _copy_differs(facts: DocumentFacts, actual: ActualFacts, row: Row) -> _Found:
    own = facts.chain.world.directory.currency(actual.row["currency"])
    if own is not None and row["currency"] is not None and own != row["currency"]:
        yield _finding("currency-differs", row, facts.name, document_currency=own, other_currency=row["currency"])
    elif actual.row["amount"] is not None and row["amount"] is not None:
        if _unlike(actual.row["amount"] - row["amount"], row["currency"]):
            yield _finding(
                "amount-differs",
                row,
                facts.name,
                row.evidence("amount"),
                document_amount=money.text(actual.row["amount"], row["currency"]),
                other_amount=money.text(row["amount"], row["currency"]),
                currency=row["currency"],
            )
    yield from _project_differs(facts, row, row["project"])
    if row.role == "journal-line":
        yield from _journal_category_differs(facts, row)
    else:
        yield from _staging_category_differs(facts, actual, row)


def _journal_category_differs(facts: DocumentFacts, line: Row) -> _Found:
    """Both are project categories of the company: that of the document must arrive in the journal."""
    holder = facts.line if facts.kind == "expense" else facts.pending
    category = holder["category"] if holder is not None else None
    if category is not None and line["category"] is not None and category.upper() != line["category"].upper():
        yield _finding(
            "category-differs", line, facts.name, line.evidence("category"), document_category=category, other_category=line["category"]
        )


def _staging_category_differs(facts: DocumentFacts, actual: ActualFacts, row: Row) -> _Found:
    """Both are transaction categories of Dataverse: what was sent must arrive."""
    sent = referred(facts.chain.world, actual.row, "category")
    category = sent["number"] if sent is not None else None
    if category is not None and row["category"] is not None and category.upper() != row["category"].upper():
        yield _finding(
            "category-differs", row, facts.name, row.evidence("category"), document_category=category, other_category=row["category"]
        )


def _rate_differs(facts: DocumentFacts, row: Row) -> _Found:
    rate = facts.rate
    if rate is None or row["exchange_rate"] is None or row["currency"] not in (None, facts.currency):
        return
    if row["exchange_rate"] not in (rate, "0"):
        yield _finding(
            "rate-differs", row, facts.name, row.evidence("exchange_rate"), document_rate=rate, other_rate=row["exchange_rate"]
        )


def _duplicates(facts: DocumentFacts, verdict: Verdict, amounts: Amounts | None) -> _Found:
    for record in facts.records[1:]:
        yield _finding("duplicate-record", record, facts.name)
    for actual in facts.effective[1:]:
        yield _finding("duplicate-actual", actual.row, facts.name)
    for actual in facts.actuals:
        for item in list(actual.staging)[1:]:
            yield _finding("duplicate-staging-row", item.row, facts.name)
        lines = {item.line.key: item.line for item in actual.staging if item.line is not None}
        for line in list(lines.values())[1:]:
            yield _finding("duplicate-journal-line", line, facts.name)


def _not_written_back(facts: DocumentFacts, verdict: Verdict, amounts: Amounts | None) -> _Found:
    """Posted in Finance, but the actual has no voucher (R22; bug 480962 in `domain/documents.md` §0)."""
    for actual in facts.actuals:
        if actual.posted and "actual" not in actual.posted_by:
            voucher = next((item.row["voucher"] for item in actual.staging if item.row["voucher"]), None)
            line = next((item.line for item in actual.staging if item.line is not None), None)
            yield _finding(
                "not-written-back", actual.row, facts.name, voucher=voucher or (line["voucher"] if line is not None else None)
            )


def _ambiguous(facts: DocumentFacts, verdict: Verdict, amounts: Amounts | None) -> _Found:
    if not facts.owns_chain:
        yield _finding("ambiguous-link", facts.line, facts.name, other=facts.chain.lines[0].key)


# --- of a chain ------------------------------------------------------------------------------------------------------


def _orphans(chain: ChainFacts) -> _Found:
    """Rows of one system that the other knows nothing of."""
    if not chain.lines:
        for role in ("dataverse-expense", "dataverse-invoice-line"):
            for row in chain.of(role):
                if row["external_id"] is not None and not chain.of("pending-project"):
                    yield _finding("orphan-in-dataverse", row, None, external_id=row["external_id"])
    known = {item.row["line"] for items in chain.staging.values() for item in items}
    actuals = {actual.record.id for actual in chain.of("actual")}
    for row in chain.of("staging"):
        if row["actual"] not in actuals:
            yield _finding("orphan-in-finance", row, None, actual=row_id_of(row["actual"]) if row["actual"] else None)
    for line in chain.of("journal-line"):
        if line.record.id not in known:
            yield _finding("orphan-journal-line", line, None, voucher=line["voucher"])


def _unknown_values(rows: Iterable[Row], document: str | None) -> _Found:
    for row in rows:
        for field, column, value, evidence in row.misfits:
            yield _finding("unknown-value", row, document, evidence, field=field, column=column, value=value)


def _too_large(chain: ChainFacts, size: int) -> _Found:
    if size > LARGEST_CHAIN:
        first = next(rows[0] for rows in chain.by_role.values())
        yield _finding("chain-too-large", first, None, records=size)


_DOCUMENT_CHECKS: Final[list[Callable[[DocumentFacts, Verdict, Amounts | None], _Found]]] = [
    _amount_differs,
    _not_computable,
    _record_differs,
    _actuals_differ,
    _staging_differs,
    _duplicates,
    _not_written_back,
    _ambiguous,
]


def of_document(facts: DocumentFacts, verdict: Verdict, amounts: Amounts | None) -> list[Finding]:
    """What is wrong with a document and its part of the chain."""
    return [finding for check in _DOCUMENT_CHECKS for finding in check(facts, verdict, amounts)]


def of_chain(chain: ChainFacts, rows: list[Row], document: str | None) -> list[Finding]:
    """What is wrong with a chain whether or not it has a document."""
    return [*_orphans(chain), *_unknown_values(rows, document), *_too_large(chain, len(rows))]


def of_reference(row: Row, dependents: int) -> list[Finding]:
    """What is wrong with a row that others point to; `dependents` is how many do."""
    found = list(_unknown_values([row], None))
    if row.role == "dataverse-invoice" and row["status"] == "confirmed" and not dependents:
        found.append(_finding("header-before-lines", row, None, row.evidence("status"), number=row["number"]))
    return found
