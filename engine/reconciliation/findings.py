"""What is wrong with a chain beyond where its documents stand (R18).

To add a finding: write a check here that adds to what was found, add it to one of the lists at the end, and give its
code words in `explanations.FINDINGS`. Checks see facts only; what depends on the time of day is asked when a finding is
shown (`absence.claimed`, `absence.timed_findings`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from engine import money
from engine.calendar import same_period
from engine.chains.links import LARGEST_CHAIN
from engine.chains.records import Row
from engine.chains.references import resolve_reference
from engine.events.facts import Evidence, row_id_of
from engine.reconciliation.chain_facts import ActualFacts, ChainFacts, DocumentFacts
from engine.reconciliation.document_facts import document_facts
from engine.reconciliation.documents import Finding
from engine.reconciliation.positions import Division, Verdict, posted_evidence


class _Found(list[Finding]):
    """What the checks found, in their order."""

    def add(
        self, code: str, row: Row, document: str | None, evidence: Evidence | None = None, **parameters: Any
    ) -> None:
        """Add a finding about `row`. The evidence is that of its existence, unless another is given."""
        shown = {name: value for name, value in parameters.items() if value is not None}
        self.append(Finding(code, row.key, document, shown, evidence or row.existence))


# --- of a document ---------------------------------------------------------------------------------------------------


def _amount_differs(found: _Found, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """The actuals add up to something else than the document; judged once none of them is under way."""
    amounts = division.amounts
    if amounts is None or verdict.position not in ("missing-journal-line", "reconciled"):
        return
    if amounts.amount is not None and _unlike(amounts.difference, facts.currency):
        found.add(
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


def _not_computable(found: _Found, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """Without amounts in either currency: the sums, which are in accounting currency, leave the document out."""
    if division.amounts is None or division.accounting is None:
        found.add("not-computable", facts.line, facts.name)


def _record_differs(found: _Found, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """The Dataverse record tells another amount, currency or project than the Finance line."""
    record = facts.record
    if record is None:
        return
    currency = facts.chain.world.directory.currency(record["currency"])
    if currency is not None and facts.currency is not None and currency != facts.currency:
        _currency_unlike(found, facts, record, facts.currency, currency)
    elif facts.record_has_amount:
        _record_amount_differs(found, facts, record)
    _project_differs(found, facts, record, _dataverse_project(facts.chain, record))


def _record_amount_differs(found: _Found, facts: DocumentFacts, record: Row) -> None:
    """The record may hold the amount with or without tax, or as it was entered: unlike all of them is a difference."""
    amount, told = facts.amount, record["amount"]
    if amount is None or told is None:
        return
    same = [amount, facts.line["amount"], facts.line["entered_amount"]]
    if all(_unlike(one - told, facts.currency) for one in same if one is not None):
        _amount_unlike(found, facts, record, amount, facts.currency)


def _amount_unlike(found: _Found, facts: DocumentFacts, row: Row, amount: int, currency: str | None) -> None:
    found.add(
        "amount-differs",
        row,
        facts.name,
        row.evidence("amount"),
        document_amount=money.text(amount, currency),
        other_amount=money.text(row["amount"], currency),
        currency=currency,
    )


def _currency_unlike(found: _Found, facts: DocumentFacts, row: Row, currency: str, other: str) -> None:
    found.add(
        "currency-differs",
        row,
        facts.name,
        row.evidence("currency"),
        document_currency=currency,
        other_currency=other,
    )


def _dataverse_project(chain: ChainFacts, row: Row) -> str | None:
    project = resolve_reference(chain.world, row, "project")
    return project["number"] if project is not None else None


def _project_differs(found: _Found, facts: DocumentFacts, row: Row, project: str | None) -> None:
    if project is not None and facts.project is not None and project.upper() != facts.project.upper():
        found.add(
            "project-differs",
            row,
            facts.name,
            row.evidence("project"),
            document_project=facts.project,
            other_project=project,
        )


def _actuals_differ(found: _Found, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """What stands must be like the document; a mistake that was reversed is mended."""
    for actual in facts.actuals:
        currency = facts.chain.world.directory.currency(actual.row["currency"])
        # Also of one that was reversed: its amount is converted all the same.
        if currency is not None and facts.currency is not None and currency != facts.currency:
            _currency_unlike(found, facts, actual.row, facts.currency, currency)
        if actual.stands:
            _project_differs(found, facts, actual.row, _dataverse_project(facts.chain, actual.row))
        _date_differs(found, facts, actual)


def _date_differs(found: _Found, facts: DocumentFacts, actual: ActualFacts) -> None:
    """Accounted in another period than the document: the cost and the account are cleared in different months.

    A reversal belongs to the period of what it reverses; then the two leave no trace in any month.
    """
    accounted = _accounted(actual)
    if actual.reversed_by is not None or accounted is None:
        return
    if actual.reversal:
        original = _accounted(actual.original) if actual.original is not None else None
        of, date = "What it reverses", original[0] if original is not None else None
    else:
        of, date = "The document", facts.line["date"]
    day, row = accounted
    if date is not None and not same_period(facts.company, date, day):
        evidence = row.evidence("accounting_date")
        found.add("date-differs", row, facts.name, evidence, of=of, document_date=date, other_date=day)


def _accounted(actual: ActualFacts) -> tuple[str, Row] | None:
    """The accounting date of an actual and the row that says so: Finance may post on another day than was meant."""
    best = actual.best
    rows = [best.line, best.row, actual.row] if best is not None else [actual.row]
    return next(((row["accounting_date"], row) for row in rows if row is not None and row["accounting_date"]), None)


def _staging_differs(found: _Found, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """What reached Finance is not what Dataverse sent, or was posted at another rate than the document."""
    for actual in facts.actuals:
        for row in _copies(actual):
            _copy_differs(found, facts, actual, row)
            if actual.stands:
                _project_differs(found, facts, row, row["project"])
                _rate_differs(found, facts, actual, row)
                if row.role == "journal-line":
                    _category_differs(found, facts, row, _document_category(facts))
            if row.role == "staging":
                _category_differs(found, facts, row, _sent_category(facts, actual))


def _copies(actual: ActualFacts) -> list[Row]:
    """An actual's rows in Finance, each once."""
    rows = [row for item in actual.staging for row in (item.row, item.line) if row is not None]
    return list({row.key: row for row in rows}.values())


def _copy_differs(found: _Found, facts: DocumentFacts, actual: ActualFacts, row: Row) -> None:
    own = facts.chain.world.directory.currency(actual.row["currency"])
    amount, currency = actual.row["amount"], row["currency"] or own or facts.currency
    if own is not None and currency is not None and own != currency:
        _currency_unlike(found, facts, row, own, currency)
    elif own is None and currency != facts.currency:
        return  # in which currency the actual is cannot be said, so its amount cannot be compared
    elif amount is not None and row["amount"] is not None and _unlike(amount - row["amount"], currency):
        _amount_unlike(found, facts, row, amount, currency)


def _category_differs(found: _Found, facts: DocumentFacts, row: Row, category: str | None) -> None:
    if category is not None and row["category"] is not None and category.upper() != row["category"].upper():
        found.add(
            "category-differs",
            row,
            facts.name,
            row.evidence("category"),
            document_category=category,
            other_category=row["category"],
        )


def _document_category(facts: DocumentFacts) -> str | None:
    """The document's project category of the company, as journal lines name it too."""
    return facts.holder["category"] if facts.holder is not None else None


def _sent_category(facts: DocumentFacts, actual: ActualFacts) -> str | None:
    """An actual's transaction category of Dataverse, as staging rows name it too."""
    sent = resolve_reference(facts.chain.world, actual.row, "category")
    return sent["number"] if sent is not None else None


def _rate_differs(found: _Found, facts: DocumentFacts, actual: ActualFacts, row: Row) -> None:
    """Another rate, by so much that it makes another amount; rates of other currencies cannot be compared."""
    rate, other = facts.rate, row["exchange_rate"]
    currency = row["currency"] or facts.chain.world.directory.currency(actual.row["currency"])
    if rate is None or other in (None, "0", rate) or currency is None or currency != facts.currency:
        return
    amount, accounting = facts.amount, facts.accounting_currency
    if amount is not None and 2 * abs(money.at_rate(amount, rate) - money.at_rate(amount, other)) <= money.smallest(
        accounting
    ):
        return
    found.add("rate-differs", row, facts.name, row.evidence("exchange_rate"), document_rate=rate, other_rate=other)


def _duplicates(found: _Found, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    active = [record for record in facts.records if record["state"] != "inactive"]
    for record in active[1:]:
        found.add("duplicate-record", record, facts.name)
    for actual in _duplicate_actuals(facts) if len(facts.effective) > 1 else ():
        found.add("duplicate-actual", actual.row, facts.name)
    for actual in facts.actuals:
        _duplicate_rows(found, facts, actual)


def _duplicate_actuals(facts: DocumentFacts) -> Iterator[ActualFacts]:
    """Those beyond the document's amount, the oldest first taken as right: several may share the document's amount.

    What has a reversal or a replacement is being put right, also while that is under way.
    """
    total, sign = 0, -1 if (facts.amount or 0) < 0 else 1
    for number, actual in enumerate(actual for actual in facts.effective if not actual.corrected):
        amount = facts.amount_of(actual)
        if facts.amount is None or amount is None:
            return
        excess = (total + amount - facts.amount) * sign
        if number and amount and excess > 0 and _unlike(excess, facts.currency):
            yield actual
        else:
            total += amount


def _duplicate_rows(found: _Found, facts: DocumentFacts, actual: ActualFacts) -> None:
    """Staging rows and journal lines beside those that got furthest."""
    best = actual.best
    if best is None:
        return
    for item in actual.staging:
        if item is not best:
            found.add("duplicate-staging-row", item.row, facts.name)
    others = [item.line for item in actual.staging if item.line is not None and item is not best]
    lines = {line.key: line for line in ([best.line] if best.line is not None else []) + others}
    for line in list(lines.values())[1:]:
        found.add("duplicate-journal-line", line, facts.name)


def _not_written_back(found: _Found, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """Posted in Finance, but the actual has no voucher (R22; bug 480962 in `docs/domain/documents.md` §0)."""
    for actual in facts.actuals:
        if actual.posted and not actual.row["voucher"]:
            vouchers = [row["voucher"] for row in _copies(actual) if row["voucher"]]
            found.add(
                "not-written-back",
                actual.row,
                facts.name,
                posted_evidence(actual),
                voucher=vouchers[0] if vouchers else None,
            )


def _ambiguous(found: _Found, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    if not facts.owns_chain:
        other = document_facts(facts.chain, facts.chain.lines[0]).name
        found.add("ambiguous-link", facts.line, facts.name, other=other)


# --- of a chain ------------------------------------------------------------------------------------------------------


def _orphans(found: _Found, chain: ChainFacts) -> None:
    """Rows of one system that the other knows nothing of."""
    if not chain.lines and not chain.of("pending-project"):
        for role in ("dataverse-expense", "dataverse-invoice-line"):
            for row in chain.of(role):
                # One that is cancelled and made no cost is as gone as its line.
                if row["external_id"] is not None and (row["state"] != "inactive" or chain.cost_actuals):
                    found.add("orphan-in-dataverse", row, None, external_id=row["external_id"])
    named = {item.row["line"] for items in chain.staging.values() for item in items}
    actuals = {actual.id for actual in chain.of("actual")}
    for row in chain.of("staging"):
        # A row may come without the id of its actual (R3): that says nothing about the actual.
        if row["actual"] is not None and row["actual"] not in actuals:
            found.add("orphan-in-finance", row, None, actual=row_id_of(row["actual"]))
    for line in chain.of("journal-line"):
        if line.id not in named:
            found.add("orphan-journal-line", line, None, voucher=line["voucher"])


def _unknown_values(found: _Found, rows: Iterable[Row], document: str | None) -> None:
    for row in rows:
        for field, column, value, evidence in row.misfits:
            found.add("unknown-value", row, document, evidence, field=field, column=column, value=value)


def _too_large(found: _Found, chain: ChainFacts, size: int) -> None:
    if size > LARGEST_CHAIN:
        first = next(rows[0] for rows in chain.by_role.values())
        found.add("chain-too-large", first, None, records=size)


_DOCUMENT_CHECKS: Final[list[Callable[[_Found, DocumentFacts, Verdict, Division], None]]] = [
    _amount_differs,
    _not_computable,
    _record_differs,
    _actuals_differ,
    _staging_differs,
    _duplicates,
    _not_written_back,
    _ambiguous,
]


def of_document(facts: DocumentFacts, verdict: Verdict, division: Division) -> list[Finding]:
    """What is wrong with a document and its part of the chain."""
    found = _Found()
    for check in _DOCUMENT_CHECKS:
        check(found, facts, verdict, division)
    return found


def of_chain(chain: ChainFacts, rows: Sequence[Row], document: str | None) -> list[Finding]:
    """What is wrong with a chain whether or not it has a document."""
    found = _Found()
    _orphans(found, chain)
    _unknown_values(found, rows, document)
    _too_large(found, chain, len(rows))
    return found


def of_reference(row: Row, dependents: int) -> list[Finding]:
    """What is wrong with a row that others point to; `dependents` is how many do."""
    found = _Found()
    _unknown_values(found, [row], None)
    confirmed = row.role == "dataverse-invoice" and row["status"] == "confirmed" and row["state"] != "inactive"
    if confirmed and not dependents:
        found.add("header-before-lines", row, None, row.evidence("status"), number=row["number"])
    return found
