"""The views of a grid as bits, and the materialised totals of documents.

A tile is the total of one part over the rows of its view (R32); both are computed from the same values.
"""

from operator import add
from typing import Final, Literal, NamedTuple

import msgspec

from engine.errors import StoreError
from engine.events.facts import moment
from engine.reconciliation.documents import Amounts, Document, Posting
from engine.reconciliation.settlement import is_settled

View = Literal["missing-actuals", "missing-journal-lines", "all", "reconciled"]

MISSING_ACTUALS: Final = 1
MISSING_JOURNAL_LINES: Final = 2
RECONCILED: Final = 4
SUMMED: Final = 8  # processed and not excluded: in every total
PROCESSED: Final = 16  # all documents except approved ones that are not posted
NOT_COMPUTABLE: Final = 32  # in a view by its position, without amounts
SETTLED: Final = 64  # reconciled, with nothing about its money open

BITS: Final[dict[View, int]] = {
    "missing-actuals": MISSING_ACTUALS,
    "missing-journal-lines": MISSING_JOURNAL_LINES,
    "reconciled": RECONCILED,
    "all": 0,
}

_NOTHING: Final = Amounts(0)

_decode_values: Final = msgspec.json.Decoder(list[int]).decode


def views_of(document: Document) -> int:
    """Return the views of a document as bits: that of its position, and that of each part which is not zero (R33, in
    transaction currency).
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
        bits |= RECONCILED | (SETTLED if is_settled(document) else 0)
    if document.amounts is None or document.accounting is None or document.booked is None:
        bits |= NOT_COMPUTABLE
    return bits


class Totals(msgspec.Struct, gc=False):
    """Numbers of documents and exact totals of their amounts, in both currencies (units of 1/10000). `with_difference`
    is the number of those with a difference in either currency, `unsettled` that of those that leave something on the
    account.

    Amounts are in transaction currency; those named `accounting_`, `booked`, `cleared` and `exchange_difference` are in
    accounting currency.
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
    with_exchange_difference: int = 0
    booked: int = 0
    cleared: int = 0
    exchange_difference: int = 0
    unsettled: int = 0

    @property
    def accounting_unreconciled(self) -> int:
        """What misses an actual or a journal line, in accounting currency."""
        return self.accounting_missing_actual + self.accounting_missing_journal_line

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*map(add, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))

    def as_text(self) -> str:
        """Return the values separated by blanks."""
        return " ".join(map(str, msgspec.structs.astuple(self)))

    @classmethod
    def from_text(cls, text: str) -> "Totals":
        """Parse the result of `as_text`."""
        return cls(*map(int, text.split()))

    @classmethod
    def sum_texts(cls, number: int, texts: str) -> "Totals":
        """Return the sum of `number` results of `as_text`, separated by blanks.

        Raises `StoreError` if one of them has another number of values.
        """
        width = len(cls.__struct_fields__)
        # The JSON decoder reads integers of any size and takes a third of the time of `int`.
        values = _decode_values(f"[{texts.replace(' ', ',')}]")
        if len(values) != width * number:
            raise StoreError(f"a row of the table totals does not hold {width} numbers: `tieout replay` rebuilds it.")
        return cls(*[sum(values[index::width]) for index in range(width)])


class TotalKey(msgspec.Struct, frozen=True, gc=False):
    """Key of materialised totals."""

    company: str
    kind: str
    date: str
    views: int
    currency: str
    accounting_currency: str
    position: str
    cause: str
    """Its cause, or why it is excluded; '' if neither."""


def total_key(document: Document) -> TotalKey:
    """Return the key of the totals that include a document."""
    return TotalKey(
        document.company or "",
        document.kind,
        document.date or "",
        views_of(document),
        document.currency or "",
        document.accounting_currency or "",
        document.position,
        document.cause or document.excluded or "",
    )


class ReconciliationKey(NamedTuple):
    """Key of reconciled amounts: company and date of the documents, and the day of their reconciliation."""

    company: str
    date: str
    day: str


def reconciliation_key(company: str, date: str, since: int) -> ReconciliationKey:
    """Return the key of the reconciled amount of a document whose status dates from `since` (microseconds since 1970
    UTC).

    The day is not before the date of the document: a line may be posted before the date it carries.
    """
    return ReconciliationKey(company, date, max(date, moment(since).date().isoformat()))


def contribution(document: Document) -> tuple[int, ...]:
    """Return what a document adds to its `Totals`, in the order of the fields. A document that cannot be computed
    counts without an amount.
    """
    amounts = document.amounts or _NOTHING
    accounting = document.accounting or _NOTHING
    return (
        1,
        1 if amounts.difference or accounting.difference else 0,
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
        1 if document.exchange_difference else 0,
        document.booked or 0,
        document.cleared or 0,
        document.exchange_difference,
        1 if _is_unsettled(document) else 0,
    )


def _is_unsettled(document: Document) -> bool:
    """Return True if a document in the sums leaves anything on the account, or if that is unknown."""
    accounting = document.accounting
    if accounting is None or document.amounts is None or document.booked is None:
        return document.position not in ("excluded", "not-posted")
    return any(
        (
            accounting.missing_actual,
            accounting.missing_journal_line,
            accounting.difference,
            document.exchange_difference,
        )
    )


COUNTS: Final = ("documents", "with_difference", "with_exchange_difference", "unsettled")
"""The fields of `Totals` that are numbers of documents; all others are sums of columns of the same name."""

AMOUNTS: Final = tuple(name for name in Totals.__struct_fields__ if name not in COUNTS)
"""The fields of `Totals` that are sums."""


class PostingKey(NamedTuple):
    """Key of materialised totals of postings: '' for a company, account, currency or day that is not known, and for the
    part of postings that a document counts.
    """

    company: str
    kind: str
    part: str
    currency: str
    day: str


class PostingTotal(NamedTuple):
    """A number of postings, how many of them without a known amount, and what they cleared (units of 1/10000)."""

    postings: int = 0
    unknown: int = 0
    amount: int = 0

    def plus(self, other: "PostingTotal", sign: int = 1) -> "PostingTotal":
        """Return the sum, or the difference for a sign of -1."""
        return PostingTotal(*(own + sign * more for own, more in zip(self, other, strict=True)))


def posting_key(posting: Posting) -> PostingKey:
    """Return the key of the totals that include a posting."""
    return PostingKey(
        posting.company, posting.kind or "", posting.part or "", posting.currency or "", posting.date or ""
    )


def posting_total(posting: Posting) -> PostingTotal:
    """Return what a posting adds to its total."""
    return PostingTotal(1, 0, posting.amount) if posting.amount is not None else PostingTotal(1, 1, 0)
