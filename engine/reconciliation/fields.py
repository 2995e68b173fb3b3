"""The document fields: every value of a document that is stored, published, shown or filtered.

The row of a document in the store, its JSON, the filters and sort columns of the grids, the columns on the pages, in
CSV files and on the command line all follow from `FIELDS`.

To add a field: its entry here; its place in the grids of its kinds (`engine.reconciliation.kinds`). A field with a new
value also needs an attribute of `engine.reconciliation.documents.Document`, and a migration that adds its column.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, Literal, cast

import msgspec

from engine.calendar import local_day
from engine.chains.records import Row
from engine.chains.references import resolve_reference
from engine.events.facts import iso
from engine.reconciliation.actual_facts import StagingFacts
from engine.reconciliation.chain_facts import DocumentFacts
from engine.reconciliation.documents import PART_NAMES, Document
from engine.reconciliation.kinds import DocumentKind
from engine.reconciliation.positions import Division, Verdict
from engine.reconciliation.postings import Counted

ValueType = Literal["key", "text", "date", "time", "amount", "decimal", "integer", "flag", "codes", "status", "object"]
"""The type of a value: `key` is a name that sorts bytewise; `date` is `YYYY-MM-DD`; `time` is in microseconds since
1970 UTC; `amount` is in units of 1/10000 of a currency; `decimal` has all its digits as text; `codes` are those of
findings; `status` is a cause, an exclusion or a position. An `object` is in the stored body of a document alone.
"""


class DecidedLine:
    """A Finance line after its decision: what the fields of its document are read from.

    `counted` are the postings that it counts, `finding_codes` the codes of its findings, in order, without repetition.
    """

    finding_codes: tuple[str, ...] = ()

    def __init__(self, facts: DocumentFacts, verdict: Verdict, division: Division, counted: Counted) -> None:
        self.facts = facts
        self.verdict = verdict
        self.division = division
        self.counted = counted
        self.in_account = verdict.position not in ("excluded", "not-posted")
        self.line: Row = facts.line
        # The staging row whose journal line the grids show: that of the deciding actual.
        self.staging: StagingFacts | None = verdict.deciding.most_advanced if verdict.deciding is not None else None
        self.journal_line: Row | None = self.staging.line if self.staging is not None else None
        self.journal: Row | None = self.staging.journal if self.staging is not None else None

    @cached_property
    def booked(self) -> int | None:
        """What posting the line put into the account, in accounting currency: 0 for a document outside every sum. None
        if that, or what its postings cleared, is unknown.
        """
        if not self.in_account:
            return 0
        return self.facts.accounting_amount if self.counted.amount is not None else None

    @property
    def cleared(self) -> int | None:
        """What its postings took out of the account; None if that, or what it booked, is unknown."""
        return self.counted.amount if self.booked is not None else None

    @cached_property
    def exchange_difference(self) -> int:
        """The reconciled part in accounting currency less what the postings cleared; 0 if either is unknown."""
        accounting, cleared = self.division.accounting, self.cleared
        if not self.in_account or accounting is None or cleared is None:
            return 0
        return accounting.reconciled - cleared

    @cached_property
    def vendor(self) -> Row | None:
        """The vendor of the invoice header."""
        header = self.facts.header
        return resolve_reference(self.facts.chain.reference_data, header, "vendor") if header is not None else None

    @property
    def category(self) -> str | None:
        """The expense category; of an invoice line the project category, otherwise the procurement category."""
        pending = self.facts.pending
        if pending is not None and pending["category"] is not None:
            return cast(str, pending["category"])
        return cast("str | None", self.line["category"])

    @property
    def project_category(self) -> str | None:
        """The project category, which actuals and journal lines have as well."""
        holder = self.facts.holder
        return holder["category"] if holder is not None else None

    @property
    def posted_date(self) -> str | None:
        """The day on which the journal was posted, in the time zone of the company; None unless its line is posted."""
        if self.staging is None or not self.staging.line_posted or self.journal is None:
            return None
        posted_at = self.journal["posted_at"]
        return None if posted_at is None else local_day(self.facts.company, posted_at) or iso(posted_at)[:10]


class DocumentField(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A field of a document."""

    name: str
    """Its name as a member of the JSON, as a filter and as a column of a grid."""

    type: ValueType = "text"

    read: Callable[[DecidedLine], Any] | None = None
    """Reads the value of `attribute` from a decided line. None for a further part of `amounts` or `accounting`, and for
    a value that depends on the time of reading (`store.queries.rows.GridRow`).
    """

    attribute: str = ""
    """The attribute of `Document` that has the value; '' means `name`."""

    part: str = ""
    """The part of the `Amounts` of `attribute`, if the value is one of them."""

    group: str = ""
    """The JSON object of which it is a member; '' means the document itself."""

    currency: str = ""
    """The attribute with the currency of an amount."""

    published: bool = True
    """Whether it is a member of the JSON of a document."""

    stored: bool = True
    """Whether it is a column of the table `documents`."""

    required: bool = False
    """Whether that column is NOT NULL: a missing value is stored as '' or 0."""

    comment: str | None = None
    """The comment of that column in the database."""

    filtered: bool = True
    """Whether the grids can be filtered on it."""

    sorted: bool = False
    """Whether the grids can be sorted by it; an index on company, kind and the column serves that."""

    searched: bool = False
    """Whether the quick search looks into it."""

    indexed: bool = False
    """Whether it has a case-insensitive index, which serves filters on a value or a prefix."""

    absent: int | None = None
    """What grids show and filter where the value is missing."""

    places: int = 0
    """The decimal places of a `decimal`."""

    title: str = ""
    """The head of its column, unless a document kind has its own (`DocumentKind.titles`)."""

    width: int = 12
    """The default width of its column on a page, in characters."""

    visible: bool = True
    """Whether its column is visible until a reader chooses others."""

    rank: int | None = None
    """When a narrow terminal hides its column: the highest first, 0 never. None: the terminal does not show it."""

    @cached_property
    def source(self) -> str:
        """The attribute of `Document` that has the value."""
        return self.attribute or self.name

    @cached_property
    def column(self) -> str:
        """The column of the table `documents`."""
        return self.name if self.part else self.source

    def value(self, document: Document) -> Any:
        """Return the value in a document; None if it depends on the time of reading."""
        value = getattr(document, self.source, None)
        return getattr(value, self.part) if self.part and value is not None else value


def _amounts(attribute: str, read: Callable[[DecidedLine], Any], **common: Any) -> list[DocumentField]:
    """Return the fields of an amount and its parts, which are read together."""
    prefix = f"{common['group']}_" if "group" in common else ""
    return [
        DocumentField(
            name=f"{prefix}{part}",
            type="amount",
            read=read if part == "amount" else None,
            attribute=attribute,
            part=part,
            required=part != "amount",
            sorted=part == "amount" and not prefix,
            title=f"{prefix}{part}".replace("_", " ").capitalize(),
            width=13,
            # A grid also shows the accounting column of its view (`engine.reconciliation.kinds.VIEW_PARTS`).
            visible=part == "amount" and not prefix,
            rank=(3 if prefix else 0) if part == "amount" else None,
            **common,
        )
        for part in ("amount", *PART_NAMES)
    ]


FIELDS: Final = (
    DocumentField(
        name="key",
        type="key",
        read=lambda line: line.line.key,
        published=False,
        required=True,
        filtered=False,
    ),
    DocumentField(
        name="document",
        type="key",
        read=lambda line: line.facts.name,
        required=True,
        searched=True,
        title="Document",
        width=20,
        rank=0,
    ),
    DocumentField(
        name="company",
        type="key",
        read=lambda line: line.line.company,
        required=True,
        comment="'' if unknown",
        filtered=False,
    ),
    DocumentField(name="kind", read=lambda line: line.facts.kind.code, required=True, filtered=False),
    DocumentField(name="position", read=lambda line: line.verdict.position, required=True, title="Position"),
    DocumentField(name="excluded", read=lambda line: line.verdict.excluded),
    DocumentField(name="cause", read=lambda line: line.verdict.cause),
    DocumentField(name="standing", type="status", published=False, stored=False, title="Status", width=29, rank=0),
    *_amounts("amounts", lambda line: line.division.amounts, currency="currency"),
    DocumentField(name="currency", read=lambda line: line.facts.currency, title="Currency", width=10, rank=1),
    DocumentField(name="accounting_currency", read=lambda line: line.facts.accounting_currency, filtered=False),
    *_amounts(
        "accounting",
        lambda line: line.division.accounting,
        group="accounting",
        currency="accounting_currency",
    ),
    *(
        DocumentField(
            name=name,
            type="amount",
            read=read,
            currency="accounting_currency",
            required=name == "exchange_difference",
            title=title,
            width=13,
            visible=False,
        )
        for name, title, read in (
            ("booked", "Booked", lambda line: line.booked),
            ("cleared", "Cleared", lambda line: line.cleared),
            ("exchange_difference", "Exchange and posting differences", lambda line: line.exchange_difference),
        )
    ),
    DocumentField(
        name="date",
        type="date",
        read=lambda line: line.line["date"],
        required=True,
        comment="'' if unknown",
        sorted=True,
        title="Date",
        rank=1,
    ),
    DocumentField(
        name="voucher",
        read=lambda line: line.facts.voucher,
        searched=True,
        indexed=True,
        title="Voucher",
        width=14,
        rank=3,
    ),
    DocumentField(
        name="project",
        read=lambda line: line.facts.project,
        searched=True,
        indexed=True,
        title="Project ID",
        width=14,
        rank=2,
    ),
    DocumentField(
        name="project_name",
        read=lambda line: row["name"] if (row := line.facts.project_row) is not None else None,
        title="Project name",
        width=18,
        rank=8,
    ),
    DocumentField(
        name="category",
        read=lambda line: line.category,
        searched=True,
        title="Expense category",
        width=18,
        rank=3,
    ),
    DocumentField(
        name="exchange_rate",
        type="decimal",
        read=lambda line: line.facts.rate,
        places=12,
        title="Exchange rate",
        width=19,
        rank=9,
    ),
    DocumentField(
        name="vendor",
        read=lambda line: header["vendor"] if (header := line.facts.header) is not None else None,
        searched=True,
        indexed=True,
        title="Vendor account",
        width=15,
        rank=3,
    ),
    DocumentField(
        name="vendor_name",
        read=lambda line: line.vendor["name"] if line.vendor is not None else None,
        title="Name",
        width=21,
        rank=8,
    ),
    DocumentField(
        name="invoice",
        read=lambda line: line.line["invoice"],
        searched=True,
        indexed=True,
        title="Vendor Invoice",
        width=14,
        rank=2,
    ),
    DocumentField(
        name="line_number",
        type="decimal",
        read=lambda line: line.line["line_number"],
        places=10,
        title="Line number",
        width=14,
        rank=9,
    ),
    DocumentField(
        name="actual",
        type="flag",
        read=lambda line: bool(line.facts.effective),
        attribute="has_actual",
        required=True,
        comment="1 if an actual exists, else 0",
        title="Actual",
        width=8,
        rank=5,
    ),
    DocumentField(
        name="journal",
        read=lambda line: line.journal["number"] if line.journal is not None else None,
        searched=True,
        indexed=True,
        title="Journal",
        width=13,
        rank=4,
    ),
    DocumentField(
        name="journal_line_amount",
        type="amount",
        read=lambda line: line.journal_line["amount"] if line.journal_line is not None else None,
        currency="journal_line_currency",
        # The workspace in Finance shows 0.00 without a journal line.
        absent=0,
        title="Journal line amount",
        width=13,
        rank=6,
    ),
    DocumentField(
        name="journal_line_currency",
        read=lambda line: line.journal_line["currency"] if line.journal_line is not None else None,
        title="Currency",
        width=10,
        rank=9,
    ),
    DocumentField(
        name="journal_line_rate",
        type="object",
        read=lambda line: line.journal_line["exchange_rate"] if line.journal_line is not None else None,
        published=False,
        stored=False,
        filtered=False,
    ),
    DocumentField(
        name="journal_voucher",
        read=lambda line: line.journal_line["voucher"] if line.journal_line is not None else None,
        title="Journal voucher",
        width=14,
        rank=6,
    ),
    DocumentField(
        name="posted_date",
        type="date",
        read=lambda line: line.posted_date,
        title="Posted date",
        rank=7,
    ),
    DocumentField(name="last_retried", type="time", stored=False, title="Last retried date", width=22, rank=10),
    DocumentField(name="attempts", type="integer", published=False, stored=False, title="Attempts", width=10),
    DocumentField(
        name="since",
        type="time",
        read=lambda line: line.verdict.evidence.at,
        required=True,
        sorted=True,
        title="Since",
        width=22,
    ),
    DocumentField(
        name="findings",
        type="codes",
        read=lambda line: line.finding_codes,
        comment="Codes of the findings, separated by blanks",
        title="Findings",
        width=22,
        rank=5,
    ),
    *(
        DocumentField(name=name, type="object", read=read, published=False, stored=False, filtered=False)
        for name, read in (
            ("awaited", lambda line: line.verdict.awaited),
            ("evidence", lambda line: line.verdict.evidence),
            ("entered_amount", lambda line: line.facts.entered_amount),
            ("project_category", lambda line: line.project_category),
            ("posted", lambda line: any(actual.posted for actual in (*line.facts.actuals, *line.facts.chain.untyped))),
        )
    ),
)
"""The fields in the order of the JSON of a document."""

FIELD: Final = {field.name: field for field in FIELDS}
"""The fields by name."""


def title_of(field: DocumentField, kind: DocumentKind) -> str:
    """Return the head of the column of a field in the grid of a document kind."""
    return kind.titles.get(field.name, field.title)


_BY_ATTRIBUTE: Final = {field.source: field.read for field in FIELDS if field.read is not None}
_READERS: Final = tuple(_BY_ATTRIBUTE[attribute] for attribute in Document.__struct_fields__)


def document_of_line(line: DecidedLine) -> Document:
    """Return the document of a decided line, every attribute read by its field."""
    # Positional, in the order of the attributes: on this hot path keyword arguments cost more than some decisions.
    return Document(*[read(line) for read in _READERS])
