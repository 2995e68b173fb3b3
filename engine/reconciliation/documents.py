"""What is known of a document line and its chain after a decision: the values that stores keep and screens show.

A document is a Finance line: an expense line or a posted vendor invoice line. Further kinds (general journals,
invoice proposals) are further values of `Kind`, with a module beside `facts` that reads their rows.
"""

from typing import Any, Literal

import msgspec

from engine.events.facts import Evidence, Source

Kind = Literal["expense", "vendor-invoice-line"]
PositionName = Literal["missing-actual", "missing-journal-line", "reconciled", "excluded", "not-posted"]
Excluded = Literal["no-project", "cancelled", "intercompany-cost", "skip-sync", "other-company"]
Cause = Literal[
    "not-synced-to-dataverse",
    "not-approved",
    "not-confirmed",
    "awaiting-manual-verification",
    "no-actual-made",
    "actual-reversed",
    "cancelled-in-dataverse",
    "actual-not-synced-back",
    "not-imported",
    "line-not-seen",
    "draft",
    "error",
    "processing",
    "unrecoverable",
    "invalid-actual",
]


class Amounts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A document's amount and how it is divided (R14), in units of 1/10000 of one currency.

    Always: difference = amount − (missing_actual + missing_journal_line + reconciled), unless the document is in no
    sum: then all four are 0, and the amount may be None.
    """

    amount: int | None
    missing_actual: int = 0
    missing_journal_line: int = 0
    reconciled: int = 0
    difference: int = 0


class Awaited(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a cause that rests on absence waits for: rows of `entities` from `source` (R21)."""

    source: Source
    entities: tuple[str, ...]


class Document(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A document line, where it stands, why, and what the grids show of it.

    `key` is its line's record key, `document` its name (company and transaction id). `amounts` and `accounting` are
    None when they cannot be computed. `since` is the time of the step that decided, microseconds since 1970;
    `evidence` the event that says so.
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


class Finding(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something wrong with a record: `code` names what, `subject` the record's key, `document` the document it
    belongs to.

    `parameters` fill the explanation's words; `evidence` is the event that says so.
    """

    code: str
    subject: str
    document: str | None
    parameters: dict[str, Any]
    evidence: Evidence


class Unsynced(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Actuals of a chain that never reached Finance's staging table: company, currency, how many, and their amount as
    far as it is known.
    """

    company: str
    currency: str | None
    records: int
    amount: int


class Chain(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was decided about one chain: its records by key, its documents by key, its findings in order, its actuals
    that are not synced.
    """

    id: str
    members: tuple[str, ...]
    documents: tuple[Document, ...]
    findings: tuple[Finding, ...]
    unsynced: tuple[Unsynced, ...]
