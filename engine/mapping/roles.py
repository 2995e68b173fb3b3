"""The roles of records, and the fields that the rules read from them.

A map file assigns each entity of an environment to one role, and its columns to the fields of the role (R6); the rules
know roles and fields only. The stage numbers the steps of a document through both systems (`docs/domain/documents.md`
§0). Record keys sort by stage, so the smallest key of a chain is its document line, if it has one.
"""

from functools import cached_property
from typing import Final, Literal

import msgspec

ValueType = Literal[
    "text",  # trimmed; empty means none
    "code",  # case-insensitive text, stored in upper case: companies, currencies
    "guid",  # a row id of Dataverse or a lookup, in time order as in record keys; the zero guid means none
    "recid",  # a row id of Finance; 0 means none
    "money",  # units of 1/10000
    "decimal",  # rates and quantities, in one canonical spelling
    "date",  # YYYY-MM-DD; the empty date of Finance, 1900-01-01, means none
    "accounting-date",  # the same; a time of day is kept, because it may tell a shifted time zone
    "time",  # microseconds since 1970 UTC
    "flag",  # true or false
    "choice",  # a number or a name whose meaning the choices of the map define
]


class Role(msgspec.Struct, frozen=True, dict=True):
    """A role of records: its stage, its fields with their types, and whether it belongs to chains.

    `chained`: identity links join its records into the chain of a document. `resident`: few and read constantly
    (companies, currencies, ledger calendar), so kept in memory. `counterpart`: the fields by which a row is found in
    the other system without a transaction id (`engine.chains.counterparts`).
    """

    name: str
    stage: int
    fields: dict[str, ValueType]
    chained: bool = False
    resident: bool = False
    counterpart: frozenset[str] = frozenset()

    @cached_property
    def blank(self) -> dict[str, None]:
        """Every field without a value."""
        return dict.fromkeys(self.fields)

    @cached_property
    def row_ids(self) -> frozenset[str]:
        """The fields that hold row ids, which are already normalised."""
        return frozenset(field for field, kind in self.fields.items() if kind in ("guid", "recid"))


_ROLES = [
    Role(
        "expense-line",
        1,
        {
            "transaction_id": "text",
            "amount": "money",
            "tax": "money",
            "entered_amount": "money",
            "accounting_amount": "money",
            "currency": "code",
            "exchange_rate": "decimal",
            "status": "choice",
            "voucher": "text",
            "date": "date",
            "project": "text",
            "category": "text",
            "intercompany": "code",
            "parent": "recid",
        },
        chained=True,
    ),
    Role(
        "invoice-line",
        1,
        {
            "amount": "money",
            "tax": "money",
            "accounting_amount": "money",
            "currency": "code",
            "invoice": "text",
            "date": "date",
            "line_number": "decimal",
            "category": "text",
            "source_line": "recid",
        },
        chained=True,
        counterpart=frozenset({"invoice", "line_number", "amount", "currency"}),
    ),
    Role("pending-line", 2, {"source_line": "recid", "vendor": "text", "purchase_line": "recid"}, chained=True),
    Role(
        "pending-project",
        2,
        {
            "pending_line": "recid",
            "transaction_id": "text",
            "project": "text",
            "project_company": "code",
            "category": "text",
        },
        chained=True,
    ),
    Role(
        "dataverse-expense",
        3,
        {
            "external_id": "text",
            "amount": "money",
            "currency": "guid",
            "status": "choice",
            "state": "choice",
            "date": "date",
            "project": "guid",
            "category": "guid",
            "company": "guid",
        },
        chained=True,
    ),
    Role(
        "dataverse-invoice-line",
        3,
        {
            "external_id": "text",
            "header": "guid",
            "line_number": "decimal",
            "price": "decimal",
            "quantity": "decimal",
            "currency": "guid",
            "state": "choice",
            "project": "guid",
            "category": "guid",
            "company": "guid",
        },
        chained=True,
        counterpart=frozenset({"line_number", "price", "quantity", "currency"}),
    ),
    Role(
        "actual",
        4,
        {
            "type": "choice",
            "class": "choice",
            "amount": "money",
            "accounting_amount": "money",
            "currency": "guid",
            "skip_sync": "flag",
            "voucher": "text",
            "accounting_date": "accounting-date",
            "document_date": "date",
            "project": "guid",
            "category": "guid",
            "source": "guid",
            "company": "guid",
        },
        chained=True,
    ),
    Role("origin", 5, {"origin": "guid", "transaction": "guid"}, chained=True),
    Role(
        "connection",
        5,
        {"first": "guid", "first_role": "text", "second": "guid", "second_role": "text"},
        chained=True,
    ),
    Role(
        "staging",
        6,
        {
            "actual": "guid",
            "line": "recid",
            "voucher": "text",
            "amount": "money",
            "accounting_amount": "money",
            "exchange_rate": "decimal",
            "currency": "code",
            "accounting_date": "accounting-date",
            "project": "text",
            "category": "text",
            "proposal": "text",
        },
        chained=True,
    ),
    Role(
        "journal-line",
        7,
        {
            "journal": "recid",
            "status": "choice",
            "voucher": "text",
            "amount": "money",
            "currency": "code",
            "exchange_rate": "decimal",
            "accounting_date": "accounting-date",
            "project": "text",
            "category": "text",
        },
        chained=True,
    ),
    Role("journal", 8, {"number": "text", "status": "choice", "posted_at": "time"}),
    Role(
        "invoice",
        8,
        {"invoice": "text", "date": "date", "voucher": "text", "vendor": "text", "exchange_rate": "decimal"},
    ),
    Role(
        "dataverse-invoice",
        8,
        {
            "number": "text",
            "vendor": "guid",
            "status": "choice",
            "state": "choice",
            "automatic_confirmation": "flag",
            "company": "guid",
        },
    ),
    Role(
        "proposal",
        8,
        {
            "number": "text",
            "amount": "money",
            "currency": "code",
            "date": "date",
            "contract": "text",
            "invoice": "text",
        },
    ),
    Role("finance-project", 9, {"number": "text", "name": "text"}),
    Role("vendor", 9, {"number": "text", "name": "text"}),
    Role("project", 9, {"number": "text", "name": "text", "company": "guid"}),
    Role("category", 9, {"number": "text"}),
    Role("currency", 9, {"code": "code"}, resident=True),
    Role("company", 9, {"code": "code"}, resident=True),
    Role("company-info", 9, {"code": "code", "name": "text", "time_zone": "text"}, resident=True),
    Role("ledger", 9, {"company": "recid", "currency": "code", "calendar": "recid"}, resident=True),
    Role("fiscal-year", 9, {"calendar": "recid", "start": "date", "end": "date"}, resident=True),
    Role("fiscal-period", 9, {"year": "recid", "start": "date", "end": "date", "type": "choice"}, resident=True),
    Role("ledger-period", 9, {"ledger": "recid", "period": "recid", "status": "choice"}, resident=True),
    # An entry of the ledger. Rows of the table name their header and main account; rows of the data entity have
    # voucher, date and layer themselves, and the account as a display value.
    Role(
        "ledger-entry",
        9,
        {
            "header": "recid",
            "account": "recid",
            "number": "text",
            "display": "text",
            "amount": "money",
            "voucher": "text",
            "date": "date",
            "journal": "text",
            "layer": "choice",
            "period": "recid",
            "data_area": "code",
        },
    ),
    Role(
        "ledger-header",
        9,
        {
            "ledger": "recid",
            "voucher": "text",
            "voucher_company": "code",
            "date": "date",
            "journal": "text",
            "layer": "choice",
            "period": "recid",
        },
    ),
    Role("main-account", 9, {"number": "text", "name": "text"}),
    Role("posting-setup", 9, {"expense_account": "text", "procurement_account": "text"}, resident=True),
    # Entities that are known but not read yet: general journals, report headers.
    Role("later", 9, {}),
]

ROLES: Final[dict[str, Role]] = {role.name: role for role in _ROLES}

# The meanings of choices that the rules know; the choices of a map may define no others.
CHOICES: Final[dict[tuple[str, str], frozenset[str]]] = {
    ("expense-line", "status"): frozenset(
        ["none", "draft", "submitted", "approved", "rejected", "ready", "processed", "cancelled", "in-review"]
    ),
    ("dataverse-expense", "status"): frozenset(
        ["draft", "submitted", "approved", "rejected", "posted", "paid", "recall-requested"]
    ),
    ("dataverse-expense", "state"): frozenset(["active", "inactive"]),
    ("dataverse-invoice-line", "state"): frozenset(["active", "inactive"]),
    ("dataverse-invoice", "state"): frozenset(["active", "inactive"]),
    ("dataverse-invoice", "status"): frozenset(["draft", "in-process", "confirmed", "cancelled"]),
    ("actual", "type"): frozenset(
        [
            "cost",
            "project-contract",
            "unbilled-sales",
            "billed-sales",
            "resourcing-unit-cost",
            "inter-organizational-sales",
        ]
    ),
    ("actual", "class"): frozenset(
        ["time", "expense", "material", "milestone", "fee", "commission", "additional", "tax"]
    ),
    ("journal-line", "status"): frozenset(
        ["draft", "error", "processing", "posted", "unrecoverable", "invalid-actual"]
    ),
    ("journal", "status"): frozenset(["draft", "error", "processing", "posted", "unrecoverable", "invalid-actual"]),
    ("ledger-entry", "layer"): frozenset(["current", "other"]),
    ("ledger-header", "layer"): frozenset(["current", "other"]),
    ("fiscal-period", "type"): frozenset(["opening", "operating", "closing"]),
    ("ledger-period", "status"): frozenset(["on-hold", "open", "closed"]),
}
