"""Costs that belong to no document, and the documents whose cost they may be (finding `possible-match`).

Dataverse may create an actual without its source document, or Finance may show a staging row or an integration journal
line of which no actual exists, as far as events say. A document that waits for an actual may be theirs, and a repeated
export or approval would cost it a second time. A document and the costs are compared when the document is read, so that
no chain depends on another one. Rather one possible match too many than a cost twice.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from typing import Final

from engine.chains.records import Row, row_of
from engine.chains.references import resolve_reference
from engine.reconciliation.actual_facts import clears_nothing
from engine.reconciliation.chain_facts import ChainFacts
from engine.reconciliation.documents import Document, Finding, UnlinkedActual
from engine.reconciliation.kinds import VENDOR_INVOICE_LINE

NAMED: Final = 3
"""The largest number of costs that a finding names."""

TOGETHER: Final = 8
"""The largest number of costs whose sum is compared with a document."""

_SUMS_MAX: Final = 4_096
"""The number of sums beyond which costs are not added up any further: all of them may be the cost."""

_GUID: Final = 36

_UNKNOWN: Final = "?"
_ANY: Final = "*"


def unlinked_actuals(chain: ChainFacts) -> Iterator[UnlinkedActual]:
    """Yield the costs of a chain without a document, posted or not: its actuals, then what Finance alone shows, by key.

    Hours are the cost of no document, except those of a vendor invoice line. An actual whose reversal has reached
    Finance, and the reversal, cost nothing. An actual of unknown type may be a cost.
    """
    undone = {actual.row.id for actual in chain.actuals if not actual.unreversed}
    untyped = {actual.row.id for actual in chain.untyped}
    of_invoice = bool(chain.of(VENDOR_INVOICE_LINE.record_role))
    for row in chain.of("actual"):
        if row.id in undone or not (row["type"] == "cost" or row.id in untyped):
            continue
        if row["class"] == "time" and not of_invoice:
            continue
        copies = [copy for item in chain.staging.get(row.id, ()) for copy in (item.row, item.line) if copy is not None]
        if (cost := _cost(chain, row, copies)) is not None:
            yield cost
    yield from costs_in_finance(chain)


def costs_in_finance(chain: ChainFacts) -> Iterator[UnlinkedActual]:
    """Yield the costs of a chain that Finance alone shows, by key."""
    for copies in _of_finance(chain):
        if (cost := _cost_in_finance(copies)) is not None:
            yield cost


def _of_finance(chain: ChainFacts) -> Iterator[Sequence[Row]]:
    """Yield the rows of each cost that Finance alone shows: the staging rows of one actual that does not exist, with
    their lines; a line that no staging row names. Sales lines are none.
    """
    actuals = {row.id for row in chain.of("actual")}
    named: set[str] = set()
    for actual, items in sorted(chain.staging.items(), key=str):
        named.update(item.row["line"] for item in items)
        groups = [[item] for item in items] if actual is None else [items]
        for group in groups if actual not in actuals else ():
            sales = [clears_nothing(item.line, [item.row]) for item in group if item.line is not None]
            if not (sales and all(sales)):
                yield [copy for item in group for copy in (item.row, item.line) if copy is not None]
    for line in chain.of("journal-line"):
        if line.id not in named and not clears_nothing(line):
            yield [line]


def _cost(chain: ChainFacts, row: Row, copies: Sequence[Row]) -> UnlinkedActual | None:
    """Return an actual as a cost; None while its project is unknown. Its rows in Finance say what it does not say."""
    project = resolve_reference(chain.reference_data, row, "project")
    number = project["number"] if project is not None else None
    number = number or _first(copies, "project")
    if number is None:
        return None
    # An amount is in the currency of its own row.
    amounts = [(row["amount"], chain.reference_data.directory.currency(row["currency"]))]
    amounts += [(copy["amount"], copy["currency"]) for copy in copies]
    amount, currency = next((one for one in amounts if one[0] is not None), amounts[0])
    days = [day for day in (row["accounting_date"], row["document_date"]) if day]
    days = days or [copy["accounting_date"] for copy in copies if copy["accounting_date"]]
    category = resolve_reference(chain.reference_data, row, "category")
    return UnlinkedActual(
        key=row.key,
        company=row.company or next((copy.company for copy in copies if copy.company), None),
        project=number.upper(),
        amount=amount,
        currency=currency,
        category=category["number"] if category is not None else None,
        dates=tuple(sorted(set(days))),
    )


def _cost_in_finance(copies: Sequence[Row]) -> UnlinkedActual | None:
    """Return rows of Finance as the cost of an actual that does not exist; None while its project is unknown.

    Its document date is unknown, and Finance may have moved its accounting date to an open period: any day fits.
    """
    number = _first(copies, "project")
    if number is None:
        return None
    amount, currency = next(
        ((copy["amount"], copy["currency"]) for copy in copies if copy["amount"] is not None), (None, None)
    )
    company = next((copy.company for copy in copies if copy.company), None)
    return UnlinkedActual(copies[0].key, company, number.upper(), amount, currency, _first(copies, "category"), ())


def _first(rows: Sequence[Row], field: str) -> str | None:
    return next((row[field] for row in rows if row[field]), None)


def tokens_of_actual(actual: UnlinkedActual) -> list[str]:
    """Return what a document must have in common with a cost: company and project, and one of its dates; an unknown one
    is written as such. A document without a date asks for any.
    """
    days = (*actual.dates, _ANY) if actual.dates else (_UNKNOWN,)
    return [_token(actual.company, actual.project, day) for day in days]


def tokens_of_document(document: Document) -> list[str]:
    """Return the tokens of the costs that a document may match: of its date, and of the day before and after it.

    None for a document that does not wait for an actual, or whose project is unknown.
    """
    if document.position != "missing-actual" or document.company is None or document.project is None:
        return []
    days = [*(_around(document.date) if document.date is not None else [_ANY]), _UNKNOWN]
    return [_token(company, document.project.upper(), day) for company in (document.company, None) for day in days]


def _token(company: str | None, project: str, day: str) -> str:
    return f"{company or _UNKNOWN}|{day}|{project}"


def _around(day: str) -> list[str]:
    middle = date.fromisoformat(day).toordinal()
    days = [number for number in (middle - 1, middle, middle + 1) if 1 <= number <= date.max.toordinal()]
    return [date.fromordinal(number).isoformat() for number in days]


def matches_of(document: Document, costs: Collection[UnlinkedActual]) -> frozenset[str]:
    """Return the costs, by record key, that may be the cost of a document with which each has a token in common: one of
    its amount, or several that add up to it. An amount that is unknown, of either, may be any.
    """
    fitting = sorted((cost for cost in costs if _fits(document, cost)), key=lambda cost: cost.key)
    net = document.amounts.amount if document.amounts is not None else None
    if net is None:
        return frozenset(cost.key for cost in fitting)
    # Net or gross: an actual may have either.
    targets = {net, net if document.entered_amount is None else document.entered_amount}
    found = {cost.key for cost in fitting if cost.amount is None or cost.amount in targets}
    for target in sorted(targets):
        found.update(_adding_up(target, [cost for cost in fitting if cost.amount is not None]))
    return frozenset(found)


def _adding_up(target: int, costs: Sequence[UnlinkedActual]) -> Collection[str]:
    """Return the fewest costs, at most `TOGETHER`, of the sign of an amount that add up to it; none if none do."""
    whole, sign = abs(target), -1 if target < 0 else 1
    # The fewest costs found for each sum.
    sums: dict[int, tuple[str, ...]] = {0: ()}
    for cost in costs:
        part = (cost.amount or 0) * sign
        if not 0 < part < whole:
            continue
        for total, keys in list(sums.items()):
            more, number = total + part, len(keys) + 1
            is_fewer = more not in sums or number < len(sums[more])
            if more <= whole and number <= TOGETHER and is_fewer:
                sums[more] = (*keys, cost.key)
        if len(sums) > _SUMS_MAX:
            return [other.key for other in costs]
    return sums.get(whole, ()) if whole else ()


def _fits(document: Document, cost: UnlinkedActual) -> bool:
    """Return True if a cost may be that of the document by its currency and category.

    A currency that is unknown counts in the currency of the document, as everywhere. A category that is unknown on one
    side cannot be compared and is no obstacle.
    """
    if cost.currency is not None and document.currency is not None and cost.currency != document.currency:
        return False
    own, category = document.project_category, cost.category
    return category is None or own is None or category.upper() == own.upper()


def _name(key: str) -> str:
    """Return the row id of a cost; of a row in Finance, which has a mere number, with its table."""
    _, entity, _ = key.split(":", 2)
    return row_of(key) if len(row_of(key)) == _GUID else f"{entity} {row_of(key)}"


def possible_match(document: Document, costs: Collection[str]) -> Finding:
    """Return the finding of a document that these costs, by record key, may belong to."""
    names = [_name(key) for key in sorted(costs)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    parameters = {"actual": ", ".join(names[:NAMED]) + more}
    return Finding("possible-match", document.key, document.document, parameters, document.evidence)
