"""Decide one family: from its rows to documents with positions, findings, unsynced actuals and postings."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from engine import money
from engine.chains.families import PARENT, Family
from engine.chains.links import target
from engine.chains.records import Row
from engine.chains.references import ReferenceData
from engine.reconciliation import findings
from engine.reconciliation.account_findings import of_account, posted_twice
from engine.reconciliation.adoption import LINE_ROLES, Detour, adopt, detours_by_line
from engine.reconciliation.beginning_balances import NONE, BeginningBalances
from engine.reconciliation.chain_facts import ChainFacts, DocumentFacts
from engine.reconciliation.document_facts import documents_of
from engine.reconciliation.documents import Chain, Document, Finding, Posting, UnlinkedActual, Unsynced
from engine.reconciliation.fields import DecidedLine, document_of_line
from engine.reconciliation.kinds import KINDS, Kind
from engine.reconciliation.positions import Verdict, decide_position, divide
from engine.reconciliation.postings import Postings, posted_lines
from engine.reconciliation.unlinked_actuals import costs_in_finance, unlinked_actuals
from engine.reconciliation.unsynced_actuals import UnsyncedActual, unsynced_actuals


def evaluate(
    family: Family,
    reference_data: ReferenceData,
    companies: Collection[str] | None = None,
    beginning: BeginningBalances = NONE,
) -> Chain:
    """Decide one family. A pure function of its rows (sorted by key) and of the rows that they refer to.

    `companies` are those of the settings, None if all are included (R13, `other-company`); `beginning` are the
    beginning balances of the settings.
    """
    return _decide(family, reference_data, companies, beginning).chain()


def unsynced_of(family: Family, reference_data: ReferenceData) -> Iterator[UnsyncedActual]:
    """Yield the unsynced actuals of a family: the items of its totals."""
    for chain, documents in _decide(family, reference_data, None, NONE).unsynced:
        yield from unsynced_actuals(chain, documents)


def _decide(
    family: Family, reference_data: ReferenceData, companies: Collection[str] | None, beginning: BeginningBalances
) -> "_Decision":
    headers = _headers(family.groups)
    adopted = adopt(family, reference_data, headers)
    detours = detours_by_line(adopted.detours)
    posted = posted_lines(adopted.groups, reference_data) if len(adopted.groups) > 1 else frozenset()
    decision = _Decision(family, reference_data, companies, beginning, headers, detours, posted)
    for group in adopted.groups:
        decision.decide(group)
    return decision


def _headers(groups: Iterable[Sequence[Row]]) -> frozenset[str]:
    """Return the keys of the headers of itemised expenses: the lines that another line names as its parent. Their cost
    is that of their lines.
    """
    named = set()
    for group in groups:
        for row in group:
            if row.role in LINE_ROLES and (reference := row.map.by_name.get(PARENT)) is not None:
                token = target(row, reference)
                if token is not None and token != row.key:
                    named.add(token)
    return frozenset(named)


class _Decision:
    """Collects the decisions about the groups of a family."""

    def __init__(
        self,
        family: Family,
        reference_data: ReferenceData,
        companies: Collection[str] | None,
        beginning: BeginningBalances,
        headers: frozenset[str],
        detours: Mapping[str, Sequence[Detour]],
        posted: Collection[str],
    ) -> None:
        self.family = family
        self.reference_data = reference_data
        self.companies = companies
        self.beginning = beginning
        self.headers = headers
        self.detours = detours
        self.posted = posted
        self.documents: list[Document] = []
        self.findings: list[Finding] = []
        self.unsynced: list[tuple[ChainFacts, list[DocumentFacts]]] = []
        self.postings: list[Posting] = []
        # By key: several groups may have a row, as it is linked now and as it was linked once.
        self.unlinked: dict[str, UnlinkedActual] = {}
        self.kind = _kind(family)

    def chain(self) -> Chain:
        """Return the decision about the family."""
        order = sorted(
            self.findings,
            key=lambda finding: (finding.code, finding.subject, sorted(map(str, finding.parameters.items()))),
        )
        return Chain(
            self.family.id,
            self.family.ids,
            tuple(sorted(self.documents, key=lambda document: document.key)),
            tuple(order),
            tuple(_unsynced(self.unsynced)),
            tuple(sorted(self.postings, key=lambda posting: posting.key)),
            tuple(self.unlinked.values()),
        )

    def decide(self, rows: Sequence[Row]) -> None:
        """Decide one group, whose rows are sorted by key."""
        facts = ChainFacts(rows[0].key, rows, self.reference_data, self.headers, self.family.ambiguous)
        decided: list[tuple[DocumentFacts, Verdict]] = []
        for document in documents_of(facts):
            verdict = decide_position(document, self.companies, self.beginning)
            if verdict is not None:
                decided.append((document, verdict))
        postings = Postings(facts, decided, self.kind, self.posted)
        documents = [self._document(document, verdict, postings) for document, verdict in decided]
        # A document that is counted without an amount has postings without an amount.
        unknown = {document.key for document in documents if document.cleared is None}
        self.postings += [
            replace(posting, amount=None) if posting.document in unknown else posting for posting in postings.postings
        ]
        of_group = findings.of_chain(facts, rows, documents[0].document if documents else None)
        if codes := {finding.code for finding in of_group if finding.document is not None}:
            documents[0] = replace(documents[0], findings=tuple(sorted(codes.union(documents[0].findings))))
        self.documents += documents
        self.findings += of_group
        self.unsynced.append((facts, [document for document, _ in decided]))
        # What is posted of a cancelled document is the cost of none (`posting-without-document`).
        costs: Iterable[UnlinkedActual] = ()
        if all(verdict.excluded == "cancelled" for _, verdict in decided):
            costs = unlinked_actuals(facts)
        elif not facts.cost_actuals and not facts.untyped:
            # The rows of an actual that was deleted, which its origin still joins to the document.
            costs = costs_in_finance(facts)
        for cost in costs:
            self.unlinked.setdefault(cost.key, cost)

    def _document(self, facts: DocumentFacts, verdict: Verdict, postings: Postings) -> Document:
        division = divide(facts, verdict)
        counted = postings.of(facts.line.key)
        line = DecidedLine(facts, verdict, division, counted)
        found = findings.of_document(facts, verdict, division)
        found += of_account(facts, division, counted, line.exchange_difference, self.detours.get(facts.line.key, ()))
        found += [posted_twice(facts, row) for row in postings.further_lines(facts)]
        line.finding_codes = tuple(sorted({finding.code for finding in found}))
        self.findings += found
        return document_of_line(line)


def _kind(family: Family) -> Kind | None:
    """Return the account of a family: the kind of its documents and Dataverse records, deleted ones too, if they are of
    one kind.
    """
    roles = {row.role for rows in (*family.groups, family.gone) for row in rows}
    kinds = [kind.code for kind in KINDS.values() if kind.line_role in roles or kind.record_role in roles]
    return kinds[0] if len(kinds) == 1 else None


def _unsynced(groups: Iterable[tuple[ChainFacts, list[DocumentFacts]]]) -> list[Unsynced]:
    """Return the totals of the unsynced actuals.

    An actual whose amount is unknown, or would make the sum exceed the limit, is counted without amount.
    """
    totals: dict[tuple[str, str | None], list[int]] = {}
    for chain, documents in groups:
        for actual in unsynced_actuals(chain, documents):
            total = totals.setdefault((actual.company, actual.currency), [0, 0])
            total[0] += 1
            amount = total[1] + (actual.amount or 0)
            total[1] = amount if money.fits(amount) else total[1]
    return [Unsynced(company, currency, *total) for (company, currency), total in sorted(totals.items(), key=str)]
