"""The result of a decision about a chain: the values that stores keep and screens show.

A document is a Finance line: an expense line or a posted vendor invoice line (`engine.reconciliation.kinds`).
"""

from typing import Any, Final, Literal

import msgspec

from engine.events.facts import Evidence, Source
from engine.reconciliation.kinds import Kind

PositionName = Literal["missing-actual", "missing-journal-line", "reconciled", "excluded", "not-posted"]
Excluded = Literal[
    "no-project",
    "cancelled",
    "intercompany-cost",
    "skip-sync",
    "beginning-balance",
    "other-company",
    "project-unknown",
]
Cause = Literal[
    "not-synced-to-dataverse",
    "not-approved",
    "not-confirmed",
    "awaiting-manual-verification",
    "no-actual-made",
    "actual-reversed",
    "cancelled-in-dataverse",
    "rejected-in-dataverse",
    "recalled-in-dataverse",
    "actual-not-synced-back",
    "not-imported",
    "line-not-seen",
    "draft",
    "error",
    "processing",
    "unrecoverable",
    "invalid-actual",
    "posted-in-other-company",
]


class Amounts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The amount of a document and its division (R14), in units of 1/10000 of one currency.

    Invariant: difference = amount − (missing_actual + missing_journal_line + reconciled). A document that is excluded
    or not posted is in no total: all four parts are 0, and the amount may be None.
    """

    amount: int | None
    missing_actual: int = 0
    missing_journal_line: int = 0
    reconciled: int = 0
    difference: int = 0

    @property
    def unreconciled(self) -> int:
        """What misses an actual or a journal line."""
        return self.missing_actual + self.missing_journal_line


PART_NAMES: Final = ("missing_actual", "missing_journal_line", "reconciled", "difference")
"""The parts into which an amount is divided, as `Amounts` and the JSON name them."""


class Awaited(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The rows whose absence is the cause: rows of `entities` from `source` (R21)."""

    source: Source
    entities: tuple[str, ...]


class Document(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A document line: its position, cause and amounts, and the columns of the grids.

    `key` is the record key of its line, `document` its name (company and transaction id). `amounts` and `accounting`
    are None if they cannot be computed. `booked` is what posting the line put into the account, `cleared` what the
    postings that it counts took out, `exchange_difference` its reconciled part less that, all in accounting currency;
    None if unknown. `since` is the time of the last completed step, in microseconds since 1970; `evidence` is the
    event of that step. `project_category` is the category that its actuals have as well, unlike the expense or
    procurement category in `category`. `posted` is True if any of its actuals is posted, one of unknown type too.
    """

    key: str
    document: str
    kind: Kind
    company: str | None
    position: PositionName
    excluded: Excluded | None
    cause: Cause | None
    awaited: Awaited | None
    since: int
    evidence: Evidence
    currency: str | None
    amounts: Amounts | None
    accounting_currency: str | None
    accounting: Amounts | None
    date: str | None
    voucher: str | None = None
    project: str | None = None
    project_name: str | None = None
    category: str | None = None
    exchange_rate: str | None = None
    entered_amount: int | None = None
    vendor: str | None = None
    vendor_name: str | None = None
    invoice: str | None = None
    line_number: str | None = None
    has_actual: bool = False
    journal: str | None = None
    journal_line_amount: int | None = None
    journal_line_currency: str | None = None
    journal_line_rate: str | None = None
    journal_voucher: str | None = None
    posted_date: str | None = None
    findings: tuple[str, ...] = ()
    booked: int | None = None
    cleared: int | None = None
    exchange_difference: int = 0
    project_category: str | None = None
    posted: bool = False


class Finding(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An inconsistency of a record. `code` identifies it, `subject` is the record key, `document` the document it
    belongs to.

    `parameters` fill the placeholders of the explanation; `evidence` is the source event.
    """

    code: str
    subject: str
    document: str | None
    parameters: dict[str, Any]
    evidence: Evidence


class Unsynced(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Totals of the actuals of a chain that have no staging row: company, currency, number, and the sum of the known
    amounts.
    """

    company: str
    currency: str | None
    records: int
    amount: int


PostingPart = Literal["posting-without-document", "posted-twice", "posted-in-other-company"]
"""The parts of an account that consist of postings which no document counts."""


class Posting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A posting of the integration journal: a posted line, or what a voucher shows where no line is seen.

    `key` is the record key of the line, otherwise of the actual or of the staging row. `document` is the key of the
    document line that counts it; without one, `part` is the part of the account that it is in. `kind` is None if its
    account is not known. `amount` is what it cleared, in units of 1/10000 of `currency`, the accounting currency of
    `company` ('' if unknown); None if no event says so. `date` is the day of the roll-forward. `name` is the name of
    the document that it belongs to, whether that counts it or not.
    """

    key: str
    company: str
    kind: Kind | None
    document: str | None
    part: PostingPart | None
    currency: str | None
    amount: int | None
    date: str | None = None
    voucher: str | None = None
    project: str | None = None
    name: str | None = None


class UnlinkedActual(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An actual that may be a cost and belongs to no document: its record key, and the values that a document is
    compared with. Where Finance alone shows the cost: the key of its staging row, of its journal line without one.

    `amount` is in its own `currency`, in units of 1/10000; `dates` are its accounting and document date. The project is
    in upper case. Other values are None if unknown.
    """

    key: str
    company: str | None
    project: str
    amount: int | None
    currency: str | None
    category: str | None
    dates: tuple[str, ...]


class Chain(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The decision about one chain: its record keys, documents by key, findings in order, unsynced actuals, the
    postings by key, and the cost actuals without a document.
    """

    id: str
    members: tuple[str, ...]
    documents: tuple[Document, ...]
    findings: tuple[Finding, ...]
    unsynced: tuple[Unsynced, ...]
    postings: tuple[Posting, ...] = ()
    unlinked: tuple[UnlinkedActual, ...] = ()
