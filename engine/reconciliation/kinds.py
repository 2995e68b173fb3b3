"""The document kinds: everything that differs between them, except how their facts are read.

A document kind is a Finance line that is posted to an integration account, copied to Dataverse, approved there and
returned as actuals. Tiles, grids, pages and Sync loop over `KINDS`.

To add a kind: its roles (`engine.mapping.roles`), its entry here, its facts (a module like
`engine.reconciliation.expenses`), the class of its facts in `engine.reconciliation.document_facts`, and its map tables.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

Kind = Literal["expense", "vendor-invoice-line"]
"""The codes of the kinds."""

TileView = Literal["missing-actuals", "missing-journal-lines"]
"""The views of a grid that a tile leads to."""


class DocumentKind(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of a document kind, besides the rules for its facts."""

    code: Kind
    """The code in JSON, tables, addresses of rows and command-line options."""

    line_role: str
    """The role of its Finance line (`engine.mapping.roles`)."""

    line_table: str
    """The Finance table of the line, by which a re-export names it."""

    record_role: str
    """The role of its Dataverse record."""

    record_entity: str
    """The Dataverse table of the record: awaited after posting."""

    approved_entity: str
    """The Dataverse table of the row whose approval creates the actuals: the record itself, or its header."""

    approval: Literal["approval", "confirmation"]
    """The Sync action that repeats that approval."""

    approval_parameter: str
    """The parameter of that action that names the approved row."""

    summary_name: str
    """The prefix of its tiles, and its member of `unreconciled`, in the JSON of the summary."""

    path: str
    """The last part of its grid's address."""

    label: str
    """Its name in lists of pages."""

    noun: str
    """Its name within a label, singular, in lower case: `Unreconciled … amount`."""

    plural: str
    """The documents within a label, in lower case: `All …`."""

    account: str
    """The name of its integration account."""

    ungrouped: frozenset[str]
    """The fields that its grid cannot be grouped by, because its documents do not have them."""

    columns: tuple[str, ...]
    """The fields of its grid (`engine.reconciliation.fields`) in their order: those of the workspace in Finance (R33,
    R34), then those of tieout.
    """

    titles: Mapping[str, str] = {}
    """The heads of the columns that have another one in its grid than in others."""

    @property
    def unreconciled(self) -> str:
        """The title of its unreconciled amount."""
        return f"Unreconciled {self.noun} amount"


ACCOUNTING_PARTS: Final = (
    *("accounting_amount", "accounting_missing_actual", "accounting_missing_journal_line"),
    *("accounting_reconciled", "accounting_difference", "booked", "cleared", "exchange_difference"),
)
"""The amounts of a document in accounting currency, in the order of lists and of totals."""

_FIRST_COLUMNS: Final = ("document", "standing", *ACCOUNTING_PARTS)
_LAST_COLUMNS: Final = ("since", "findings", "missing_actual", "missing_journal_line", "reconciled", "difference")

EXPENSE: Final = DocumentKind(
    code="expense",
    line_role="expense-line",
    line_table="TrvExpTrans",
    record_role="dataverse-expense",
    record_entity="msdyn_expense",
    approved_entity="msdyn_expense",
    approval="approval",
    approval_parameter="expense",
    summary_name="expense",
    path="expense",
    label="Expense",
    noun="expense",
    plural="expenses",
    account="Expense",
    ungrouped=frozenset({"vendor", "invoice"}),
    columns=(
        *_FIRST_COLUMNS,
        *("category", "date", "amount", "currency", "exchange_rate", "voucher", "project", "project_name", "actual"),
        *("journal", "journal_line_amount", "journal_voucher", "journal_line_currency", "posted_date"),
        *("last_retried", "attempts"),
        *_LAST_COLUMNS,
    ),
)
VENDOR_INVOICE_LINE: Final = DocumentKind(
    code="vendor-invoice-line",
    line_role="invoice-line",
    line_table="VendInvoiceTrans",
    record_role="dataverse-invoice-line",
    record_entity="msdyn_projectvendorinvoiceline",
    approved_entity="msdyn_projectvendorinvoice",
    approval="confirmation",
    approval_parameter="invoice",
    summary_name="vendor_invoice",
    path="vendor-invoice-lines",
    label="Vendor invoice lines",
    noun="vendor invoice",
    plural="vendor invoices",
    account="Vendor invoices",
    ungrouped=frozenset({"category"}),
    columns=(
        *_FIRST_COLUMNS,
        *("vendor", "vendor_name", "date", "invoice", "line_number", "amount", "currency", "voucher"),
        *("project", "project_name", "actual"),
        *("journal", "journal_line_amount", "journal_line_currency", "exchange_rate", "journal_voucher", "posted_date"),
        *("last_retried", "attempts"),
        *_LAST_COLUMNS,
    ),
    titles={"date": "Invoice date", "amount": "Line amount"},
)

KINDS: Final[dict[Kind, DocumentKind]] = {kind.code: kind for kind in (EXPENSE, VENDOR_INVOICE_LINE)}
"""The kinds by code, in the order in which lists show them."""


class Tile(msgspec.Struct, frozen=True):
    """A tile of the summary: the total of one part over the documents in one view of the grid of a kind (R32).

    `name` is its member in the JSON of the summary, `title` its caption in Finance's workspace.
    """

    name: str
    kind: Kind
    view: TileView
    part: str
    title: str


_TILE_VIEWS: Final[dict[TileView, str]] = {
    "missing-journal-lines": "missing_journal_line",
    "missing-actuals": "missing_actual",
}

VIEW_PARTS: Final[dict[str, str]] = {
    **{view: f"accounting_{part}" for view, part in _TILE_VIEWS.items()},
    "all": "accounting_amount",
    "reconciled": "accounting_reconciled",
}
"""The amount in accounting currency that a view of a grid is about: a tile is its sum."""

TILES: Final = tuple(
    Tile(
        f"{kind.summary_name}_{view.replace('-', '_')}",
        kind.code,
        view,
        part,
        f"{kind.noun.capitalize()} {view.replace('-', ' ')}",
    )
    for kind in (VENDOR_INVOICE_LINE, *(kind for kind in KINDS.values() if kind is not VENDOR_INVOICE_LINE))
    for view, part in _TILE_VIEWS.items()
)
"""The tiles in the order of Finance's workspace: vendor invoices first."""
