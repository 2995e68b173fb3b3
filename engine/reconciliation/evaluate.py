"""Decide one chain: from its rows to documents with positions, findings and unsynced actuals."""

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from engine import money
from engine.chains.records import Row
from engine.chains.references import ReferenceData
from engine.reconciliation import findings
from engine.reconciliation.beginning_balances import NONE, BeginningBalances
from engine.reconciliation.chain_facts import ChainFacts, DocumentFacts
from engine.reconciliation.document_facts import document_facts
from engine.reconciliation.documents import Chain, Document, Finding, Unsynced
from engine.reconciliation.fields import DecidedLine, document_of_line
from engine.reconciliation.positions import Verdict, decide_position, divide
from engine.reconciliation.unlinked_actuals import unlinked_actuals
from engine.reconciliation.unsynced_actuals import unsynced_actuals


def evaluate(
    chain: str,
    rows: Sequence[Row],
    reference_data: ReferenceData,
    companies: Collection[str] | None = None,
    beginning: BeginningBalances = NONE,
) -> Chain:
    """Decide one chain. A pure function of its rows (sorted by key) and of the rows that they refer to.

    `companies` are those of the settings, None if all are included (R13, `other-company`); `beginning` are the
    beginning balances of the settings.
    """
    facts = ChainFacts(chain, rows, reference_data)
    documents: list[Document] = []
    all_findings: list[Finding] = []
    owner: DocumentFacts | None = None
    for line in facts.lines:
        document = document_facts(facts, line)
        verdict = decide_position(document, companies, beginning)
        if verdict is None:
            continue
        if document.owns_chain:
            owner = document
        decided, document_findings = _document(document, verdict)
        documents.append(decided)
        all_findings += document_findings
    of_chain = findings.of_chain(facts, rows, documents[0].document if documents else None)
    if codes := {finding.code for finding in of_chain if finding.document is not None}:
        documents[0] = replace(documents[0], findings=tuple(sorted(codes.union(documents[0].findings))))
    all_findings += of_chain
    all_findings.sort(key=lambda finding: (finding.code, finding.subject, sorted(map(str, finding.parameters.items()))))
    members = tuple([row.key for row in rows])
    unlinked = tuple(unlinked_actuals(facts)) if facts.cost_actuals and not documents else ()
    return Chain(chain, members, tuple(documents), tuple(all_findings), tuple(_unsynced(facts, owner)), unlinked)


def _document(facts: DocumentFacts, verdict: Verdict) -> tuple[Document, list[Finding]]:
    division = divide(facts, verdict)
    document_findings = findings.of_document(facts, verdict, division)
    codes = tuple(sorted({finding.code for finding in document_findings}))
    return document_of_line(DecidedLine(facts, verdict, division, codes)), document_findings


def _unsynced(chain: ChainFacts, document: DocumentFacts | None) -> list[Unsynced]:
    """Return the totals of the unsynced actuals.

    An actual whose amount is unknown, or would make the sum exceed the limit, is counted without amount.
    """
    totals: dict[tuple[str, str | None], list[int]] = {}
    for actual in unsynced_actuals(chain, document):
        total = totals.setdefault((actual.company, actual.currency), [0, 0])
        total[0] += 1
        amount = total[1] + (actual.amount or 0)
        total[1] = amount if money.fits(amount) else total[1]
    return [Unsynced(company, currency, *total) for (company, currency), total in sorted(totals.items(), key=str)]
