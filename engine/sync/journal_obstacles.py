"""Journal lines that must not be posted, and so keep their journal from being posted (R42).

Posting a journal posts all its lines. One of them may be a second line of an actual, the line of a document that Sync
leaves alone, or the line of an excluded document: posting it would clear a cost twice, or without a document.
"""

from collections.abc import Collection, Iterator
from typing import Final

from engine.chains.records import Row
from engine.chains.references import ReferenceData, resolve_reference
from engine.events.facts import row_id_of
from engine.reconciliation.actual_facts import line_state
from engine.reconciliation.documents import Finding
from engine.sync.refusals import UNCERTAIN

Journal = tuple[str, str]
"""The company and the number of an integration journal."""

OF_LINES: Final = frozenset({"duplicate-journal-line", "excluded-line-waits"})
"""The findings whose journal line is in the way."""

CODES: Final = OF_LINES | UNCERTAIN
"""The findings of the chains that have lines in the way."""

POSTED_WITH_JOURNAL: Final = frozenset({"draft", "error", "processing"})
"""The causes whose remedy posts the journal."""


def lines_in_the_way(
    rows: Collection[Row], findings: Collection[Finding], reference_data: ReferenceData
) -> Iterator[tuple[Journal, str]]:
    """Yield the lines of a chain that are in the way, as journal and RecId."""
    uncertain = any(finding.code in UNCERTAIN and finding.document is not None for finding in findings)
    named = {finding.subject for finding in findings if finding.code in OF_LINES}
    for row in rows:
        if row.role != "journal-line" or row.gone is not None or not (uncertain or row.key in named):
            continue
        journal = resolve_reference(reference_data, row, "journal")
        if journal is None or journal["number"] is None or line_state(row, journal) == "posted":
            continue
        if company := row.company or journal.company:
            yield (company, journal["number"]), row_id_of(row.id)
