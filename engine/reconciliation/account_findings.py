"""Findings about the money of a document: what its postings cleared, and what the links to them have been."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from engine import money
from engine.chains.records import Row
from engine.events.facts import Evidence, row_id_of
from engine.reconciliation.adoption import Detour
from engine.reconciliation.chain_facts import DocumentFacts
from engine.reconciliation.documents import Finding
from engine.reconciliation.positions import Division
from engine.reconciliation.postings import Counted


def of_account(
    facts: DocumentFacts, division: Division, counted: Counted, exchange_difference: int, detours: Sequence[Detour]
) -> Iterator[Finding]:
    """Yield the findings about what a document booked and what its postings cleared."""
    if exchange_difference and facts.currency == facts.accounting_currency:
        accounting = division.accounting
        reconciled = accounting.reconciled if accounting is not None else 0
        yield _finding(
            "cleared-amount-differs",
            facts.line,
            facts,
            reconciled=money.text(reconciled, facts.accounting_currency),
            cleared=money.text(reconciled - exchange_difference, facts.accounting_currency),
            currency=facts.accounting_currency,
        )
    for actual in facts.actuals:
        cleared = counted.cleared.get(actual.row.id)
        if cleared is not None and cleared.basis == "assumed":
            yield _finding("cleared-amount-assumed", actual.row, facts)
        if cleared is not None and cleared.unlike:
            yield _finding("written-back-twice", actual.row, facts)
        for item in actual.staging:
            line = item.line.company if item.line is not None else None
            if line is not None and item.row.company is not None and line != item.row.company:
                yield _finding("company-differs", item.row, facts, line_company=line, staging_company=item.row.company)
    yield from _of_detours(facts, detours)


def posted_twice(facts: DocumentFacts, line: Row) -> Finding:
    """Return the finding of a further posted line of an actual of a document."""
    return _finding("posted-twice", line, facts)


def _of_detours(facts: DocumentFacts, detours: Iterable[Detour]) -> Iterator[Finding]:
    for detour in detours:
        code = "record-deleted-after-posting" if detour.deleted else "link-changed-after-posting"
        row = detour.row
        yield _finding(code, row, facts, detour.evidence, table=row.record.entity, id=row_id_of(row.id))


def _finding(code: str, row: Row, facts: DocumentFacts, evidence: Evidence | None = None, **parameters: Any) -> Finding:
    present = {name: value for name, value in parameters.items() if value is not None}
    return Finding(code, row.key, facts.name, present, evidence or row.existence)
