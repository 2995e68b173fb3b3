"""The shipped maps cover the entities, columns and choices of the documents (R6)."""

import tomllib
from importlib.resources import files
from typing import Any

import pytest

from engine.mapping.compiler import compile_maps
from engine.mapping.roles import CHOICES, ROLES
from tests.support.story import shipped_maps

pytestmark = pytest.mark.requirement("R6")
# Every entity and column of the documents' chains and of their reference data: (entity, columns).
DATAVERSE = {
    "msdyn_expense": [
        "assumed_externalexpenseid",
        "msdyn_amount",
        "transactioncurrencyid",
        "msdyn_expensestatus",
        "statuscode",
        "statecode",
        "msdyn_transactiondate",
        "msdyn_project",
        "msdyn_expensecategory",
        "assumed_owningcompany",
    ],
    "msdyn_projectvendorinvoice": [
        "msdyn_vendorinvoicenumber",
        "statuscode",
        "statecode",
        "msdyn_enableautomaticconfirmation",
        "msdyn_owningcompany",
    ],
    "msdyn_projectvendorinvoiceline": [
        "msdyn_externalinvoiceline",
        "msdyn_vendorinvoice",
        "transactioncurrencyid",
        "msdyn_project",
        "msdyn_transactioncategory",
        "msdyn_owningcompany",
    ],
    "msdyn_actual": [
        "msdyn_transactiontypecode",
        "msdyn_amount",
        "assumed_accountingamount",
        "transactioncurrencyid",
        "assumed_skipsync",
        "assumed_vouchernumber",
        "msdyn_externalreferenceid",
        "msdyn_accountingdate",
        "msdyn_documentdate",
        "msdyn_project",
        "msdyn_transactioncategory",
        "assumed_sourcedocument",
    ],
    "msdyn_transactionorigin": ["msdyn_origin", "msdyn_transaction"],
    "msdyn_transactionconnection": [
        "msdyn_transaction1",
        "msdyn_transaction1role",
        "msdyn_transaction2",
        "msdyn_transaction2role",
    ],
    "transactioncurrency": ["isocurrencycode"],
    "cdm_company": ["cdm_companycode"],
    "msdyn_project": ["assumed_projectnumber", "msdyn_subject"],
    "msdyn_transactioncategory": ["msdyn_transactioncategorynumber"],
    "msdyn_journal": [],
    "msdyn_journalline": [],
    "msdyn_invoicelinetransaction": [],
}
FINANCE = {
    "TrvExpTable": [],
    "TrvExpTrans": [
        "ProjTransId",
        "NetTransactionAmount",
        "AmountCurr",
        "AmountMST",
        "ExchangeCode",
        "ExchangeRate",
        "ApprovalStatus",
        "Voucher",
        "TransDate",
        "ProjId",
        "CostType",
        "InterCompanyLE",
    ],
    "VendInvoiceInfoTable": [],
    "VendInvoiceInfoLine": ["SourceDocumentLine"],
    "VendInvoiceInfoLine_Project": [
        "VendInvoiceInfoLineRefRecId",
        "ProjTransId",
        "ProjId",
        "ProjDataAreaId",
        "ProjCategoryId",
    ],
    "VendInvoiceJour": ["InvoiceId", "InvoiceDate", "LedgerVoucher", "InvoiceAccount", "ExchRate"],
    "VendInvoiceTrans": [
        "InvoiceId",
        "InvoiceDate",
        "LineNum",
        "LineAmount",
        "LineAmountMST",
        "CurrencyCode",
        "ProcurementCategory",
        "SourceDocumentLine",
    ],
    "ProjCDSActualsImport": [
        "ActualId",
        "ProjAdvancedJournalLine",
        "VoucherNumber",
        "Voucher",
        "mserp_voucher",
        "Amount",
        "AccountingAmount",
        "ExchangeRate",
        "TransactionCurrencyId",
        "AccountingDate",
        "ProjectId",
        "TransactionCategoryId",
    ],
    "ProjCDSTransactionRelationshipImport": [],
    "ProjAdvancedJournal": ["ProjAdvancedJournalId", "Status", "PostedDateTime"],
    "ProjAdvancedJournalLine": [
        "ProjAdvancedJournal",
        "Status",
        "Voucher",
        "AccountingDate",
        "ExtendedCost",
        "CostCurrency",
        "CostExchangeRate",
        "ProjId",
        "ProjCategoryId",
    ],
    "CompanyInfo": ["DataArea", "Name", "assumed_timezone"],
    "Ledger": ["PrimaryForLegalEntity", "AccountingCurrency", "FiscalCalendar"],
    "FiscalCalendarYear": ["FiscalCalendar", "StartDate", "EndDate"],
    "FiscalCalendarPeriod": ["FiscalCalendarYear", "StartDate", "EndDate", "Type"],
    "LedgerFiscalCalendarPeriod": ["Ledger", "FiscalCalendarPeriod", "Status"],
    "ProjTable": ["ProjId", "Name"],
    "VendTable": ["AccountNum", "Name"],
    "ProjParameters": ["assumed_expenseintegrationaccount", "assumed_procurementintegrationaccount"],
    "LedgerJournalTable": [],
    "LedgerJournalTrans": [],
    "LedgerJournalTrans_Project": [],
    "ProjProposalJour": [],
    "ProjPostedTransTable": [],
    "GeneralJournalEntry": [
        "Ledger",
        "SubledgerVoucher",
        "SubledgerVoucherDataAreaId",
        "AccountingDate",
        "JournalNumber",
        "PostingLayer",
        "FiscalCalendarPeriod",
    ],
    "GeneralJournalAccountEntry": [
        "GeneralJournalEntry",
        "MainAccount",
        "LedgerAccount",
        "AccountingCurrencyAmount",
        "Voucher",
        "AccountingDate",
        "JournalNumber",
        "PostingLayer",
        "DataArea",
    ],
    "MainAccount": ["MainAccountId", "Name"],
}
ENTITIES = [("dataverse", *item) for item in DATAVERSE.items()] + [("finance", *item) for item in FINANCE.items()]


@pytest.mark.parametrize(("source", "entity", "columns"), ENTITIES, ids=[entity for _, entity, _ in ENTITIES])
def test_the_shipped_maps_cover_the_entities_of_the_documents(source: str, entity: str, columns: list[str]) -> None:
    found = shipped_maps().find(entity)
    assert found is not None
    assert found.source == source
    assert set(columns) <= found.columns.keys()


NUMBERS = [
    ("TrvExpTrans", "status", {3: "approved", 5: "ready", 6: "processed", 8: "cancelled", 9: "in-review"}),
    ("msdyn_expense", "status", {192350001: "submitted", 192350002: "approved", 192350006: "recall-requested"}),
    ("msdyn_expense", "status", {867380003: "approved", 867380001: "rejected", 867380005: "paid"}),
    (
        "msdyn_projectvendorinvoice",
        "status",
        {900000000: "draft", 900000001: "in-process", 900000002: "confirmed", 900000003: "cancelled"},
    ),
    ("msdyn_actual", "type", {192350000: "cost", 192350005: "unbilled-sales", 192350006: "billed-sales"}),
    (
        "ProjAdvancedJournalLine",
        "status",
        {0: "draft", 1: "error", 2: "processing", 3: "posted", 4: "unrecoverable", 5: "invalid-actual"},
    ),
    ("LedgerFiscalCalendarPeriod", "status", {0: "on-hold", 1: "open", 2: "closed"}),
    ("FiscalCalendarPeriod", "type", {0: "opening", 1: "operating", 2: "closing"}),
]


@pytest.mark.requirement("R8")
@pytest.mark.parametrize(
    ("entity", "field", "numbers"), NUMBERS, ids=[f"{entity} {field}" for entity, field, _ in NUMBERS]
)
def test_the_numbers_of_choices_are_those_of_the_documents(entity: str, field: str, numbers: dict[int, str]) -> None:
    (mapped,) = [item for item in shipped_maps().entities[entity].fields if item.name == field]
    assert mapped.choices is not None
    assert numbers.items() <= mapped.choices.items()


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("mserp_projcdsactualsimportentity", "ProjCDSActualsImport"),
        ("trvexptrans", "TrvExpTrans"),
        ("MSDYN_EXPENSE", "msdyn_expense"),
        ("nothing", None),
    ],
)
def test_an_entity_is_found_by_each_of_its_names_whatever_the_case(name: str, entity: str | None) -> None:
    found = shipped_maps().find(name)
    assert (found.entity if found else None) == entity


def test_every_role_the_rules_ask_for_is_mapped() -> None:
    mapped = {entity.role.name for entity in shipped_maps().entities.values()}
    assert mapped == ROLES.keys()


def test_every_choice_the_rules_ask_for_can_be_told() -> None:
    told: dict[tuple[str, str], set[str]] = {}
    for entity in shipped_maps().entities.values():
        for field in entity.fields:
            if field.choices is not None:
                told.setdefault((entity.role.name, field.name), set()).update(field.choices.values())
    assert told == {key: set(names) for key, names in CHOICES.items()}


def test_only_pending_invoice_rows_outlive_their_deletion() -> None:
    kept = {name for name, entity in shipped_maps().entities.items() if entity.keep_on_delete}
    assert kept == {"VendInvoiceInfoLine", "VendInvoiceInfoLine_Project"}


def shipped(name: str) -> dict[str, Any]:
    return tomllib.loads((files("tieout") / "maps" / name).read_text(encoding="utf-8"))


def test_maps_say_their_versions() -> None:
    assert shipped_maps().versions == ("finance.toml 1.2.0", "dataverse.toml 1.2.0")


def test_the_digest_tells_whether_two_maps_mean_the_same() -> None:
    one, other = shipped("finance.toml"), shipped("finance.toml")
    assert compile_maps([("a.toml", one)]).digest == compile_maps([("b.toml", other)]).digest
    other["entities"]["TrvExpTrans"]["columns"]["voucher"] = "PostingVoucher"
    assert compile_maps([("a.toml", one)]).digest != compile_maps([("a.toml", other)]).digest


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("entity", [name for name, item in shipped_maps().entities.items() if item.source == "finance"])
def test_a_virtual_entity_shows_an_entity_of_finance_under_other_names(entity: str) -> None:
    found = shipped_maps().find(f"mserp_{entity.lower()}entity")
    assert found is not None
    assert found.entity == entity
    for columns in (item.columns for item in found.fields):
        for column in columns:
            virtual = column if column.startswith("mserp_") else f"mserp_{column.lower()}"
            assert found.columns[virtual][0] == column
