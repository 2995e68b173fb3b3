"""Chains of several documents: which of them has which Dataverse record and which actuals.

Usually two Finance lines have one transaction id, of which Dataverse has one record. Nothing then says to which line an
actual belongs, so each document has the finding `ambiguous-link`, Sync leaves all of them alone, and the actuals are
shared out by what they look like (`docs/decisions/0001-rules-where-the-requirements-leave-room.md`).
"""

from collections.abc import Mapping, Sequence

import msgspec

from engine.chains.records import Row
from engine.reconciliation.chain_facts import ChainFacts, DocumentFacts


def share(documents: Sequence[DocumentFacts]) -> None:
    """Share out the records and actuals of a chain among its lines, and name them.

    Drafts, rejected and unposted lines have none, unless nothing is posted. The line with the smallest RecId keeps the
    name, each other one with the same transaction id is named by its RecId.
    """
    listed = sorted((document for document in documents if document.posted or document.to_be_posted), key=_age)
    candidates = [document for document in listed if document.posted] or listed or sorted(documents, key=_age)
    chain = candidates[0].chain
    actuals = _actuals(chain, candidates)
    records = _records(chain, candidates, actuals)
    for document in documents:
        cost_actuals = [row for row in chain.cost_actuals if actuals[row.id] is document]
        own = {row.id for row in cost_actuals}
        kind = document.kind.record_role
        document.take(
            [row for row in chain.of(kind) if records.get(row.key) is document],
            cost_actuals,
            [actual for actual in chain.actuals if actual.row.id in own],
        )
    _name(listed)


def _age(document: DocumentFacts) -> tuple[str, int, str]:
    """Sort key by kind, then by RecId as a number: the oldest first."""
    return document.line.map.prefix, len(document.line.id), document.line.id


def _name(documents: Sequence[DocumentFacts]) -> None:
    taken: set[str] = set()
    for document in documents:
        if document.name.upper() in taken:
            document.name = document.name_by(None)
        taken.add(document.name.upper())
    for document in documents:
        document.others = tuple(other.name for other in documents if other is not document)


# --- actuals ---------------------------------------------------------------------------------------------------------


class _Group(msgspec.Struct, frozen=True):
    """Actuals that belong to one document: one, with its reversals and replacements.

    `amount` is the sum of those that are in force, if none is, that of the first one; None if unknown. `currency` is
    an ISO code.
    """

    actuals: tuple[str, ...]
    amount: int | None
    currency: str | None
    date: str | None

    def misfit(self, document: DocumentFacts) -> tuple[bool, bool, bool]:
        """Sort key of documents for this group: an equal amount first, then an equal currency, then an equal date."""
        return (
            self.amount is None or self.amount != document.amount,
            self.currency is None or self.currency != document.currency,
            self.date is None or self.date != document.line["date"],
        )


def _actuals(chain: ChainFacts, documents: Sequence[DocumentFacts]) -> Mapping[str, DocumentFacts]:
    """Return the document of each cost actual of a chain, by the id of the actual.

    Each document gets the group of its amount, of several the one of its currency, then of its date. The remaining
    groups go to a document whose amount they add up to. Otherwise each goes to a document of its amount, else of its
    currency, else of its date, else to the oldest.
    """
    groups = _groups(chain)
    by_document: dict[int, list[_Group]] = {}
    rest = list(groups)
    pairs = sorted(
        (group.misfit(document), number, place)
        for place, group in enumerate(groups)
        for number, document in enumerate(documents)
    )
    for (other_amount, *_), number, place in pairs:
        if not other_amount and number not in by_document and groups[place] in rest:
            by_document[number] = [groups[place]]
            rest.remove(groups[place])
    amounts = [group.amount for group in rest if group.amount is not None]
    together = [
        number
        for number, document in enumerate(documents)
        if number not in by_document and len(amounts) == len(rest) > 1 and sum(amounts) == document.amount
    ]
    if together:
        by_document[min(together, key=lambda number: (rest[0].misfit(documents[number]), number))] = rest
        rest = []
    for group in rest:
        number = min(range(len(documents)), key=lambda number: (group.misfit(documents[number]), number))
        by_document.setdefault(number, []).append(group)
    return {
        actual: documents[number] for number, own in by_document.items() for group in own for actual in group.actuals
    }


def _groups(chain: ChainFacts) -> list[_Group]:
    """Return the cost actuals of a chain in groups, by the first key of each."""
    rows = {row.id: row for row in chain.cost_actuals}
    corrections = [
        (role, first, second) for role, first, second in chain.corrections if first in rows and second in rows
    ]
    group_of = {actual: [actual] for actual in rows}
    for _, first, second in corrections:
        if group_of[first] is not group_of[second]:
            group_of[first].extend(group_of[second])
            for actual in group_of[second]:
                group_of[actual] = group_of[first]
    reversing = {first for role, first, _ in chain.corrections if role == "REVERSING"}
    reversed_ones = {second for role, _, second in chain.corrections if role == "REVERSING"}
    groups = []
    for own in {id(members): members for members in group_of.values()}.values():
        in_force = [rows[actual] for actual in rows if actual in own and actual not in reversing | reversed_ones]
        counting = in_force or [rows[actual] for actual in rows if actual in own][:1]
        groups.append(_group(chain, tuple(sorted(own)), counting))
    return groups


def _group(chain: ChainFacts, actuals: tuple[str, ...], counting: Sequence[Row]) -> _Group:
    amounts = [row["amount"] for row in counting]
    return _Group(
        actuals,
        None if None in amounts else sum(amounts),
        chain.reference_data.directory.currency(counting[0]["currency"]),
        counting[0]["document_date"] or counting[0]["accounting_date"],
    )


# --- records ---------------------------------------------------------------------------------------------------------


def _records(
    chain: ChainFacts, documents: Sequence[DocumentFacts], actuals: Mapping[str, DocumentFacts]
) -> Mapping[str, DocumentFacts]:
    """Return the document of each Dataverse record, by record key: the one that has its first actual, otherwise the one
    of its amount, else of its currency, else of its date, else the oldest.
    """
    by_record: dict[str, DocumentFacts] = {}
    for document in documents:
        for record in chain.of(document.kind.record_role):
            own = [row.id for row in chain.cost_actuals if row["source"] == record.id or _origin(chain, row, record)]
            with_actual = [actuals[actual] for actual in own if actuals[actual].kind is document.kind]
            if with_actual:
                by_record[record.key] = with_actual[0]
                continue
            alike = _Group(
                (), record["amount"], chain.reference_data.directory.currency(record["currency"]), record["date"]
            )
            same_kind = [other for other in documents if other.kind is document.kind]
            by_record[record.key] = min(same_kind, key=lambda other: (alike.misfit(other), _age(other)))
    return by_record


def _origin(chain: ChainFacts, actual: Row, record: Row) -> bool:
    return any(row["origin"] == record.id and row["transaction"] == actual.id for row in chain.of("origin"))
