"""The views of a grid as bits, and the sums that are kept for them.

A tile is the sum of one part over the rows of its view (R32); both come from the same numbers.
"""

from operator import add
from typing import Final, Literal, NamedTuple

import msgspec

from engine.errors import StoreError
from engine.events.facts import moment
from engine.reconciliation.documents import Amounts, Document

View = Literal["missing-actuals", "missing-journal-lines", "all", "reconciled"]

MISSING_ACTUALS: Final = 1
MISSING_JOURNAL_LINES: Final = 2
RECONCILED: Final = 4
SUMMED: Final = 8  # processed and not excluded: in every sum
PROCESSED: Final = 16  # everything but approved documents not yet posted
NOT_COMPUTABLE: Final = 32  # in a view by its position, with no amounts

BITS: Final[dict[View, int]] = {
    "missing-actuals": MISSING_ACTUALS,
    "missing-journal-lines": MISSING_JOURNAL_LINES,
    "reconciled": RECONCILED,
    "all": 0,
}

_NOTHING: Final = Amounts(0)

_decode_numbers: Final = msgspec.json.Decoder(list[int]).decode


def views_of(document: Document) -> int:
    """The views a document is in: its position's, and that of each part which is not zero (R33, judged in transaction
    currency).
    """
    if document.position == "not-posted":
        return 0
    if document.position == "excluded":
        return PROCESSED
    parts = document.amounts or _NOTHING
    bits = PROCESSED | SUMMED
    if document.position == "missing-actual" or parts.missing_actual:
        bits |= MISSING_ACTUALS
    if document.position == "missing-journal-line" or parts.missing_journal_line:
        bits |= MISSING_JOURNAL_LINES
    if document.position == "reconciled":
        bits |= RECONCILED
    if document.amounts is None or document.accounting is None:
        bits |= NOT_COMPUTABLE
    return bits


class Totals(msgspec.Struct, gc=False):
    """Numbers of documents and exact sums of their amounts, in transaction and in accounting currency (units of
    1/10000).
    """

    documents: int = 0
    with_difference: int = 0
    amount: int = 0
    missing_actual: int = 0
    missing_journal_line: int = 0
    reconciled: int = 0
    difference: int = 0
    accounting_amount: int = 0
    accounting_missing_actual: int = 0
    accounting_missing_journal_line: int = 0
    accounting_reconciled: int = 0
    accounting_difference: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*map(add, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))

    def as_text(self) -> str:
        """The numbers separated by blanks."""
        return " ".join(map(str, msgspec.structs.astuple(self)))

    @classmethod
    def from_text(cls, text: str) -> "Totals":
        """The numbers that `as_text` wrote."""
        return cls(*map(int, text.split()))

    @classmethod
    def sum_texts(cls, number: int, texts: str) -> "Totals":
        """The sums of this number of texts that `as_text` wrote, separated by blanks. Raises `StoreError` where one of
        them holds another number of sums.
        """
        width = len(cls.__struct_fields__)
        # As JSON: its decoder reads numbers of any length, and the whole takes a third of the time.
        numbers = _decode_numbers(f"[{texts.replace(' ', ',')}]")
        if len(numbers) != width * number:
            raise StoreError(f"a row of the table totals does not hold {width} numbers: `tieout replay` makes it anew.")
        return cls(*[sum(numbers[place::width]) for place in range(width)])


class TotalKey(msgspec.Struct, frozen=True, gc=False):
    """What sums are kept by."""

    company: str
    kind: str
    date: str
    views: int
    currency: str
    accounting_currency: str
    position: str
    cause: str


def total_key(document: Document) -> TotalKey:
    """Where a document is counted."""
    return TotalKey(
        document.company or "",
        document.kind,
        document.date or "",
        views_of(document),
        document.currency or "",
        document.accounting_currency or "",
        document.position,
        document.cause or "",
    )


class ReconciliationKey(NamedTuple):
    """What reconciled amounts are kept by: company and date of the documents, and the day they left the balance on."""

    company: str
    date: str
    day: str


def reconciliation_key(company: str, date: str, since: int) -> ReconciliationKey:
    """Where the reconciled amount of a document is counted that stands as it does `since` then (microseconds).

    Not before its own date: a line may be posted ahead of the date it carries.
    """
    return ReconciliationKey(company, date, max(date, moment(since).date().isoformat()))


def contribution(document: Document) -> tuple[int, ...]:
    """What a document adds to its `Totals`, in their order; one that cannot be computed counts without an amount."""
    amounts = document.amounts or _NOTHING
    accounting = document.accounting or _NOTHING
    return (
        1,
        1 if amounts.difference else 0,
        amounts.amount or 0,
        amounts.missing_actual,
        amounts.missing_journal_line,
        amounts.reconciled,
        amounts.difference,
        accounting.amount or 0,
        accounting.missing_actual,
        accounting.missing_journal_line,
        accounting.reconciled,
        accounting.difference,
    )
