"""Findings: inconsistencies of a chain besides the positions of its documents (R18).

To add a finding: write a check here, add it to one of the lists at the end, and add the texts of its code to
`finding_texts.FINDINGS`. Checks read facts only. What depends on the time of day is evaluated when a finding is shown
(`grace.is_reportable`, `grace.timed_findings`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from engine import money
from engine.calendar import local_day, same_period
from engine.chains.links import LARGEST_CHAIN
from engine.chains.records import LINK_VALUES_MAX, Row, row_of
from engine.chains.references import resolve_reference
from engine.events.facts import Evidence, row_id_of
from engine.mapping.values import parse_time
from engine.reconciliation.actual_facts import ActualFacts, is_posted
from engine.reconciliation.chain_facts import ChainFacts, DocumentFacts
from engine.reconciliation.documents import Finding
from engine.reconciliation.kinds import KINDS
from engine.reconciliation.positions import Division, Verdict, posting_evidence

_NAMED: Final = 5
"""How many rows the text of a finding names."""


class _Findings(list[Finding]):
    """The findings of the checks, in order."""

    def add(
        self, code: str, row: Row, document: str | None, evidence: Evidence | None = None, **parameters: Any
    ) -> None:
        """Add a finding about `row`. Its evidence is that of the existence of the row, unless given.

        The parameter `posted` says that the row is posted, which has a remedy of its own (`finding_texts.POSTED`).
        """
        present = {name: value for name, value in parameters.items() if value is not None}
        self.append(Finding(code, row.key, document, present, evidence or row.existence))


# --- of a document ---------------------------------------------------------------------------------------------------


def _amount_differs(findings: _Findings, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """The actuals add up to another amount than the document. Checked once none of them is in progress."""
    amounts = division.amounts
    if amounts is None or verdict.position not in ("missing-journal-line", "reconciled"):
        return
    if amounts.amount is not None and _differ(amounts.difference, facts.currency):
        findings.add(
            "amount-differs",
            facts.line,
            facts.name,
            document_amount=money.text(amounts.amount, facts.currency),
            other_amount=money.text(amounts.amount - amounts.difference, facts.currency),
            currency=facts.currency,
        )


def _differ(difference: int, currency: str | None) -> bool:
    """Return True beyond half of the smallest unit: a tolerance for findings only, totals are exact."""
    return 2 * abs(difference) > money.smallest(currency)


def _not_computable(findings: _Findings, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """Without amounts in both currencies a document is in no total: totals are in accounting currency."""
    if division.amounts is None or division.accounting is None:
        findings.add("not-computable", facts.line, facts.name)


def _record_differs(findings: _Findings, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """The Dataverse record has another amount, currency or project than the Finance line."""
    record = facts.record
    if record is None:
        return
    currency = facts.chain.reference_data.directory.currency(record["currency"])
    if currency is not None and facts.currency is not None and currency != facts.currency:
        _add_currency_difference(findings, facts, record, facts.currency, currency)
    elif facts.record_has_amount:
        _record_amount_differs(findings, facts, record)
    _project_differs(findings, facts, record, _dataverse_project(facts.chain, record))


def _record_amount_differs(findings: _Findings, facts: DocumentFacts, record: Row) -> None:
    """The record may have the amount with tax, without tax, or as entered; only another amount is a difference."""
    amount, record_amount = facts.amount, record["amount"]
    if amount is None or record_amount is None:
        return
    candidates = [amount, facts.line["amount"], facts.line["entered_amount"]]
    if all(_differ(candidate - record_amount, facts.currency) for candidate in candidates if candidate is not None):
        _add_amount_difference(findings, facts, record, amount, facts.currency)


def _add_amount_difference(
    findings: _Findings, facts: DocumentFacts, row: Row, amount: int, currency: str | None
) -> None:
    findings.add(
        "amount-differs",
        row,
        facts.name,
        row.evidence("amount"),
        document_amount=money.text(amount, currency),
        other_amount=money.text(row["amount"], currency),
        currency=currency,
    )


def _add_currency_difference(findings: _Findings, facts: DocumentFacts, row: Row, currency: str, other: str) -> None:
    findings.add(
        "currency-differs",
        row,
        facts.name,
        row.evidence("currency"),
        document_currency=currency,
        other_currency=other,
        posted=True if any(actual.posted for actual in facts.actuals) else None,
    )


def _dataverse_project(chain: ChainFacts, row: Row) -> str | None:
    project = resolve_reference(chain.reference_data, row, "project")
    return project["number"] if project is not None else None


def _project_differs(findings: _Findings, facts: DocumentFacts, row: Row, project: str | None) -> None:
    if project is not None and facts.project is not None and project.upper() != facts.project.upper():
        findings.add(
            "project-differs",
            row,
            facts.name,
            row.evidence("project"),
            document_project=facts.project,
            other_project=project,
        )


def _actuals_differ(findings: _Findings, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """Unreversed actuals must match the document; a reversed error is corrected."""
    for actual in facts.actuals:
        currency = facts.chain.reference_data.directory.currency(actual.row["currency"])
        # Checked for reversed actuals as well, because their amounts are converted too.
        if currency is not None and facts.currency is not None and currency != facts.currency:
            _add_currency_difference(findings, facts, actual.row, facts.currency, currency)
        if actual.unreversed:
            _project_differs(findings, facts, actual.row, _dataverse_project(facts.chain, actual.row))
        _date_differs(findings, facts, actual)


def _date_differs(findings: _Findings, facts: DocumentFacts, actual: ActualFacts) -> None:
    """The accounting date is in another period than the document: cost and clearing fall into different periods.

    A reversal belongs to the period of its original, so that the two have no effect in any period. A date that is in
    another period only because it was sent as a time in UTC is shifted.
    """
    accounted = _accounted(actual)
    if accounted is None:
        if actual.posted:
            findings.add("no-accounting-date", actual.row, facts.name)
        return
    if actual.reversed_by is not None:
        return
    day, row = accounted
    of, date, other = "The document", facts.line["date"], facts.line
    if actual.reversal:
        original = _accounted(actual.original) if actual.original is not None else None
        if original is None:
            return
        of, (date, other) = "What it reverses", original
    if date is None or same_period(facts.company, date, day):
        return
    evidence = row.evidence("accounting_date")
    local = _local_date(facts, row, day)
    if same_period(facts.company, _local_date(facts, other, date), local):
        findings.add(
            "date-shifted", row, facts.name, evidence, of=of, document_date=date, other_date=day, local_date=local
        )
    else:
        findings.add("date-differs", row, facts.name, evidence, of=of, document_date=date, other_date=day)


def _local_date(facts: DocumentFacts, row: Row, day: str) -> str:
    """Return a date as the time zone of the company has it; as written if it was sent without a time."""
    sent = row.time_sent("accounting_date")
    at = parse_time(sent) if sent is not None else None
    return (None if at is None else local_day(facts.company, at)) or day


def _accounted(actual: ActualFacts) -> tuple[str, Row] | None:
    """Return the accounting date of an actual and its row: Finance may post on another date than requested."""
    best = actual.most_advanced
    rows = [best.line, best.row, actual.row] if best is not None else [actual.row]
    return next(((row["accounting_date"], row) for row in rows if row is not None and row["accounting_date"]), None)


def _staging_differs(findings: _Findings, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """The rows in Finance differ from the actual, or were posted at another rate than the document."""
    for actual in facts.actuals:
        for row in _copies(actual):
            _copy_differs(findings, facts, actual, row)
            if actual.unreversed:
                _project_differs(findings, facts, row, row["project"])
                _rate_differs(findings, facts, actual, row)
                if row.role == "journal-line":
                    _category_differs(findings, facts, row, _document_category(facts))
            if row.role == "staging":
                _category_differs(findings, facts, row, _sent_category(facts, actual))


def _copies(actual: ActualFacts) -> list[Row]:
    """Return the staging rows and journal lines of an actual, each once."""
    rows = [row for item in actual.staging for row in (item.row, item.line) if row is not None]
    return list({row.key: row for row in rows}.values())


def _copy_differs(findings: _Findings, facts: DocumentFacts, actual: ActualFacts, row: Row) -> None:
    own = facts.chain.reference_data.directory.currency(actual.row["currency"])
    amount, currency = actual.row["amount"], row["currency"] or own or facts.currency
    if own is not None and currency is not None and own != currency:
        _add_currency_difference(findings, facts, row, own, currency)
    elif own is None and currency != facts.currency:
        return  # the currency of the actual is unknown, so its amount is not comparable
    elif amount is not None and row["amount"] is not None and _differ(amount - row["amount"], currency):
        _add_amount_difference(findings, facts, row, amount, currency)


def _category_differs(findings: _Findings, facts: DocumentFacts, row: Row, category: str | None) -> None:
    if category is not None and row["category"] is not None and category.upper() != row["category"].upper():
        findings.add(
            "category-differs",
            row,
            facts.name,
            row.evidence("category"),
            document_category=category,
            other_category=row["category"],
        )


def _document_category(facts: DocumentFacts) -> str | None:
    """Return the project category of the document, which journal lines name as well."""
    return facts.holder["category"] if facts.holder is not None else None


def _sent_category(facts: DocumentFacts, actual: ActualFacts) -> str | None:
    """Return the transaction category of an actual, which staging rows name as well."""
    sent = resolve_reference(facts.chain.reference_data, actual.row, "category")
    return sent["number"] if sent is not None else None


def _rate_differs(findings: _Findings, facts: DocumentFacts, actual: ActualFacts, row: Row) -> None:
    """The rate differs enough to change the amount. Rates of other currencies are not comparable, and neither are those
    of another company, whose accounting currency is its own.
    """
    if row.company not in (None, facts.line.company):
        return
    rate, other = facts.rate, row["exchange_rate"]
    currency = row["currency"] or facts.chain.reference_data.directory.currency(actual.row["currency"])
    if rate is None or other in (None, "0", rate) or currency is None or currency != facts.currency:
        return
    amount, accounting = facts.amount, facts.accounting_currency
    if amount is not None and 2 * abs(money.at_rate(amount, rate) - money.at_rate(amount, other)) <= money.smallest(
        accounting
    ):
        return
    findings.add("rate-differs", row, facts.name, row.evidence("exchange_rate"), document_rate=rate, other_rate=other)


def _duplicates(findings: _Findings, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    active = [record for record in facts.records if record["state"] != "inactive"]
    for record in active[1:]:
        findings.add("duplicate-record", record, facts.name)
    for actual in _duplicate_actuals(facts) if len(facts.effective) > 1 else ():
        findings.add("duplicate-actual", actual.row, facts.name)
    for actual in facts.actuals:
        _duplicate_rows(findings, facts.name, actual)


def _duplicate_actuals(facts: DocumentFacts) -> Iterator[ActualFacts]:
    """Yield the actuals in excess of the amount of the document, which several actuals may share, the oldest first
    taken as correct.

    An actual with a reversal or replacement is being corrected, even if that has not reached Finance.
    """
    total, sign = 0, -1 if (facts.amount or 0) < 0 else 1
    for number, actual in enumerate(actual for actual in facts.effective if not actual.corrected):
        amount = facts.amount_of(actual)
        if facts.amount is None or amount is None:
            return
        excess = (total + amount - facts.amount) * sign
        if number and amount and excess > 0 and _differ(excess, facts.currency):
            yield actual
        else:
            total += amount


def _duplicate_rows(findings: _Findings, document: str | None, actual: ActualFacts) -> None:
    """Add the staging rows and journal lines of an actual besides the most advanced ones."""
    best = actual.most_advanced
    if best is None:
        return
    for item in actual.staging:
        if item.row.key != best.row.key:
            posted = True if item.state == "posted" else None
            findings.add("duplicate-staging-row", item.row, document, posted=posted)
    others = [item for item in actual.staging if item is not best]
    lines = {item.line.key: item for item in (best, *reversed(others)) if item.line is not None}
    for key, item in lines.items():
        if item.line is not None and (best.line is None or key != best.line.key):
            findings.add("duplicate-journal-line", item.line, document, posted=True if item.posted_line else None)


def _not_written_back(findings: _Findings, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """Posted in Finance, but the actual has no voucher (R22; defect 480962 in `docs/domain/documents.md` §0)."""
    for actual in facts.actuals:
        if actual.posted and not actual.row["voucher"] and actual.row.gone is None:
            vouchers = [row["voucher"] for row in _copies(actual) if row["voucher"]]
            findings.add(
                "not-written-back",
                actual.row,
                facts.name,
                posting_evidence(actual),
                voucher=vouchers[0] if vouchers else None,
            )


def _type_unknown(findings: _Findings, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """An actual of the document may be its cost, as far as events say."""
    for actual in facts.chain.untyped:
        if actual.reached_finance or verdict.position == "missing-actual":
            findings.add("type-unknown", actual.row, facts.name, posted=True if actual.posted else None)


_NO_LINES_WAIT: Final = frozenset({"other-company", "project-unknown"})
"""The exclusions of which nothing says that their postings clear nothing."""


def _excluded_line_waits(findings: _Findings, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    """Posting the line of an excluded document takes out of the account what the document did not put there."""
    if verdict.excluded is None or verdict.excluded in _NO_LINES_WAIT:
        return
    for row in facts.cost_actuals:
        for item in facts.chain.staging.get(row.id, ()):
            if item.line is not None and not item.posted_line and not item.row["voucher"]:
                findings.add("excluded-line-waits", item.line, facts.name)


def _ambiguous(findings: _Findings, facts: DocumentFacts, verdict: Verdict, division: Division) -> None:
    if facts.others:
        findings.add("ambiguous-link", facts.line, facts.name, other=", ".join(facts.others))
    if (candidates := facts.chain.ambiguous.get(facts.line.key)) is not None:
        findings.add(
            "ambiguous-link", facts.line, facts.name, invoice=facts.line["invoice"], candidates=_row_ids(candidates)
        )
    if len(facts.headers) > 1:
        vendors = ", ".join(sorted({str(row["vendor"]) for row in facts.headers}))
        findings.add("ambiguous-invoice", facts.line, facts.name, invoice=facts.line["invoice"], vendors=vendors)


def _row_ids(keys: Iterable[str]) -> str:
    """Return the rows of record keys for a text: the first of them, if there are many."""
    named = [row_of(key) for key in keys]
    return ", ".join(named[:_NAMED]) + (f", … ({len(named)})" if len(named) > _NAMED else "")


# --- of a chain ------------------------------------------------------------------------------------------------------


def _orphans(findings: _Findings, chain: ChainFacts) -> None:
    """Add the rows of one system without a counterpart in the other."""
    if not chain.lines and not chain.of("pending-project"):
        for kind in KINDS.values():
            for row in chain.of(kind.record_role):
                if (candidates := chain.ambiguous.get(row.key)) is not None:
                    header = resolve_reference(chain.reference_data, row, "header")
                    number = header["number"] if header is not None else None
                    findings.add("ambiguous-link", row, None, invoice=number, candidates=_row_ids(candidates))
                    continue
                # A cancelled record without cost needs no counterpart.
                if row["external_id"] is not None and (row["state"] != "inactive" or chain.cost_actuals):
                    findings.add("orphan-in-dataverse", row, None, external_id=row["external_id"])
    named = {item.row["line"] for items in chain.staging.values() for item in items}
    actuals = {actual.id for actual in chain.of("actual")}
    for row in chain.of("staging"):
        # A staging row may lack the id of its actual (R3), which is no evidence about the actual.
        if row["actual"] is not None and row["actual"] not in actuals:
            posted = any(item.row is row and item.state == "posted" for item in chain.staging[row["actual"]])
            findings.add(
                "orphan-in-finance", row, None, actual=row_id_of(row["actual"]), posted=True if posted else None
            )
    for line in chain.of("journal-line"):
        if line.id not in named:
            posted = is_posted(line, chain.reference_data)
            findings.add("orphan-journal-line", line, None, voucher=line["voucher"], posted=True if posted else None)


def _unknown_values(findings: _Findings, rows: Iterable[Row], document: str | None) -> None:
    for row in rows:
        for field, column, value, evidence in row.misfits:
            findings.add("unknown-value", row, document, evidence, field=field, column=column, value=value)


def _rounded(findings: _Findings, rows: Iterable[Row], document: str | None) -> None:
    """An amount with more than four decimals counts as rounded."""
    for row in rows:
        for field, column, value, evidence in row.rounded:
            findings.add(
                "rounded", row, document, evidence, column=column, value=value, amount=money.text(row[field], None)
            )


def _dropped_links(findings: _Findings, rows: Iterable[Row], document: str | None) -> None:
    """A posted line is no longer found by a link value that was dropped."""
    for row in rows:
        for column in row.record.crowded:
            evidence = row.record.evidence_of(column) if row.record.exists else None
            findings.add("former-links-dropped", row, document, evidence, column=column, kept=LINK_VALUES_MAX)


def _too_large(findings: _Findings, chain: ChainFacts, size: int) -> None:
    if size > LARGEST_CHAIN:
        first = next(rows[0] for rows in chain.by_role.values())
        findings.add("chain-too-large", first, None, records=size)


_DOCUMENT_CHECKS: Final[list[Callable[[_Findings, DocumentFacts, Verdict, Division], None]]] = [
    _amount_differs,
    _not_computable,
    _record_differs,
    _actuals_differ,
    _staging_differs,
    _duplicates,
    _not_written_back,
    _type_unknown,
    _excluded_line_waits,
    _ambiguous,
]


def of_document(facts: DocumentFacts, verdict: Verdict, division: Division) -> list[Finding]:
    """Return the findings of a document and its part of the chain."""
    findings = _Findings()
    for check in _DOCUMENT_CHECKS:
        check(findings, facts, verdict, division)
    return findings


def of_chain(chain: ChainFacts, rows: Sequence[Row], document: str | None) -> list[Finding]:
    """Return the findings of a chain, with or without a document."""
    findings = _Findings()
    _orphans(findings, chain)
    for actual in chain.actuals if document is None else ():
        _duplicate_rows(findings, None, actual)
    _unknown_values(findings, rows, document)
    _rounded(findings, rows, document)
    _dropped_links(findings, rows, document)
    _too_large(findings, chain, len(rows))
    return findings


def of_reference(row: Row, dependents: int) -> list[Finding]:
    """Return the findings of a row that others refer to; `dependents` is the number of those rows."""
    findings = _Findings()
    _unknown_values(findings, [row], None)
    _rounded(findings, [row], None)
    _dropped_links(findings, [row], None)
    confirmed = row.role == "dataverse-invoice" and row["status"] == "confirmed" and row["state"] != "inactive"
    if confirmed and not dependents:
        findings.add("header-before-lines", row, None, row.evidence("status"), number=row["number"])
    return findings
