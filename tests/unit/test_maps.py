"""What rows mean is configuration: the shipped maps cover the documents, and a mistake is named (R6)."""

import copy
import tomllib
from importlib.resources import files
from typing import Any

import pytest

from engine.errors import MapError
from engine.maps import Maps, compile_maps
from engine.roles import CHOICES, ROLES
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
    "ProjParameters": [],
    "LedgerJournalTable": [],
    "LedgerJournalTrans": [],
    "LedgerJournalTrans_Project": [],
    "ProjProposalJour": [],
    "ProjPostedTransTable": [],
    "GeneralJournalEntry": [],
    "GeneralJournalAccountEntry": [],
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


# --- version and digest -----------------------------------------------------------------------------------------------


def shipped(name: str) -> dict[str, Any]:
    return tomllib.loads((files("tieout") / "maps" / name).read_text(encoding="utf-8"))


def test_maps_say_their_versions() -> None:
    assert shipped_maps().versions == ("finance.toml 1.0.0", "dataverse.toml 1.0.0")


def test_the_digest_tells_whether_two_maps_mean_the_same() -> None:
    one, other = shipped("finance.toml"), shipped("finance.toml")
    assert compile_maps([("a.toml", one)]).digest == compile_maps([("b.toml", other)]).digest
    other["entities"]["TrvExpTrans"]["columns"]["voucher"] = "PostingVoucher"
    assert compile_maps([("a.toml", one)]).digest != compile_maps([("a.toml", other)]).digest


# --- mistakes ---------------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "schema": 1,
    "version": "1.0.0",
    "source": "finance",
    "entities": {
        "Line": {
            "record": "journal-line",
            "aliases": ["mserp_line"],
            "columns": {"status": "Status", "journal": "Journal", "voucher": ["Voucher", "Number"]},
            "column_aliases": {"Voucher": "mserp_voucher"},
            "choices": {"status": {"draft": 0, "posted": [3, 4]}},
            "identity": [{"link": "journal-line", "by": "id"}],
            "references": {"journal": {"to": "Journal", "by": "journal"}},
        },
        "Journal": {
            "record": "journal",
            "columns": {"number": "JournalId", "status": "Status"},
            "choices": {"status": {"draft": 0, "posted": 3}},
            "offers": {"journal-number": ["company", "number"]},
        },
    },
}
# What is set where, and what the message must name besides the file.
MISTAKES: dict[str, tuple[str, Any, list[str]]] = {
    "no schema": ("schema", None, ["schema"]),
    "another schema": ("schema", 2, ["schema is 2", "schema = 1"]),
    "no version": ("version", None, ["version"]),
    "a version that is no text": ("version", 1, ["version"]),
    "no source": ("source", None, ["source"]),
    "an unknown source": ("source", "sap", ["sap", "source"]),
    "no entities": ("entities", None, ["entities"]),
    "an unknown key of the file": ("owner", "me", ["owner"]),
    "an unknown key of an entity": ("entities.Line.colums", {}, ["colums", "Line"]),
    "no record": ("entities.Line.record", None, ["record", "Line"]),
    "an unknown record": ("entities.Line.record", "jurnal", ["entities.Line", "jurnal", "journal-line"]),
    "an unknown field": ("entities.Line.columns.amout", "Amount", ["entities.Line", "columns.amout", "amount"]),
    "a column that is no name": ("entities.Line.columns.amount", 5, ["Line", "columns"]),
    "one column of two kinds": (
        "entities.Line.columns.amount",
        "Voucher",
        ["entities.Line", "Voucher", "money", "text"],
    ),
    "an alias of a column that no field reads": (
        "entities.Line.column_aliases.Text",
        "mserp_text",
        ["entities.Line", "column_aliases.Text"],
    ),
    "choices of a field that is none": (
        "entities.Line.choices.voucher",
        {"posted": 1},
        ["entities.Line", "choices.voucher"],
    ),
    "choices of a field that the record does not have": (
        "entities.Line.choices.staus",
        {"posted": 1},
        ["entities.Line", "choices.staus"],
    ),
    "an unknown choice": ("entities.Line.choices.status.finished", 9, ["entities.Line", "choices.status", "finished"]),
    "one number of two choices": ("entities.Line.choices.status.error", 3, ["entities.Line", "choices.status", "3"]),
    "a choice that is no number": ("entities.Line.choices.status.error", "one", ["Line", "choices"]),
    "a choice field without numbers": ("entities.Line.choices", {}, ["entities.Line", "choices.status"]),
    "a link of a row that belongs to no chain": (
        "entities.Journal.identity",
        [{"link": "journal-line", "by": "id"}],
        ["entities.Journal", "identity"],
    ),
    "a link by an unknown field": (
        "entities.Line.identity",
        [{"link": "journal-line", "by": "actual"}],
        ["entities.Line", "identity journal-line", "actual"],
    ),
    "a link under a condition of an unknown field": (
        "entities.Line.identity",
        [{"link": "journal-line", "by": "id", "when": {"role": ["x"]}}],
        ["entities.Line", "identity journal-line when", "role"],
    ),
    "an unknown key of a link": (
        "entities.Line.identity",
        [{"link": "journal-line", "by": "id", "scoped": True}],
        ["scoped", "Line"],
    ),
    "a reference by an unknown field": (
        "entities.Line.references.journal.by",
        "jurnal",
        ["entities.Line", "references.journal", "jurnal"],
    ),
    "a reference to an unknown entity": (
        "entities.Line.references.journal.to",
        "Jurnal",
        ["entities.Line", "references.journal", "Jurnal"],
    ),
    "a reference that leads nowhere": (
        "entities.Line.references.journal",
        {"by": "journal"},
        ["entities.Line", "references.journal"],
    ),
    "a reference that leads to two": (
        "entities.Line.references.journal.link",
        "journal-number",
        ["entities.Line", "references.journal"],
    ),
    "a reference by a link that nothing offers": (
        "entities.Line.references.header",
        {"by": "journal", "link": "jurnal-number"},
        ["entities.Line", "references.header", "jurnal-number"],
    ),
    "an offer of an unknown field": (
        "entities.Journal.offers.journal-number",
        ["company", "numer"],
        ["entities.Journal", "offers.journal-number", "numer"],
    ),
    "choices of a field that no column feeds": (
        "entities.Journal.columns",
        {"number": "JournalId"},
        ["entities.Journal", "choices.status", "number"],
    ),
    "a field without a column": ("entities.Line.columns.amount", [], ["entities.Line", "columns.amount"]),
    "a column of ours": ("entities.Line.columns.amount", "@company", ["entities.Line", "columns.amount"]),
    "an alias that is another column": (
        "entities.Line.column_aliases.Voucher",
        "Status",
        ["entities.Line", "column_aliases", "Status", "Voucher"],
    ),
    "a link by no field": (
        "entities.Line.identity",
        [{"link": "journal-line", "by": []}],
        ["entities.Line", "identity journal-line"],
    ),
    "a reference to an entity by two fields": (
        "entities.Line.references.journal.by",
        ["company", "journal"],
        ["entities.Line", "references.journal"],
    ),
    "a reference by fewer fields than are offered": (
        "entities.Line.references.header",
        {"by": "journal", "link": "journal-number"},
        ["entities.Line", "references.header", "journal-number"],
    ),
    "an alias that another entity has": ("entities.Journal.aliases", ["Mserp_Line"], ["entities.Journal", "Line"]),
}


def with_mistake(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(GOOD)
    place = content
    *above, last = path.split(".")
    for step in above:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "named"),
    MISTAKES.values(),
    ids=MISTAKES.keys(),
)
def test_a_mistake_in_a_map_is_named_by_file_entity_and_key(path: str, value: Any, named: list[str]) -> None:
    with pytest.raises(MapError) as raised:
        compile_maps([("contoso.toml", with_mistake(path, value))])
    for part in ["contoso.toml", *named]:
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("entities.Line.columns.amount", 5, "[entities.Line] columns.amount: Expected `str | array`, got `int`"),
        ("entities.Line.columns.amount", ["A", 5], "[entities.Line] columns.amount: Expected `str`, got `int`"),
        (
            "entities.Line.choices.status.error",
            "one",
            "[entities.Line] choices.status.error: Expected `int | array`, got `str`",
        ),
        ("entities.Line.colums", {}, "[entities.Line]: The table contains unknown key `colums`"),
        ("entities.Line.record", None, "[entities.Line]: The table missing required key `record`"),
        (
            "entities.Line.identity",
            [{"link": "x", "by": "id"}, {"by": "id"}],
            "[entities.Line] identity.2: The table missing required key `link`",
        ),
        ("source", "sap", "source: Invalid enum value 'sap'"),
        ("owner", "me", "The table contains unknown key `owner`"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_by_its_whole_path(path: str, value: Any, message: str) -> None:
    with pytest.raises(MapError) as raised:
        compile_maps([("contoso.toml", with_mistake(path, value))])
    assert str(raised.value) == f"contoso.toml: {message}"


def test_without_the_mistakes_the_map_is_good() -> None:
    maps = compile_maps([("contoso.toml", GOOD)])
    line = maps.find("MSERP_LINE")
    assert line is not None
    assert line.columns["mserp_voucher"] == line.columns["Voucher"]
    assert [field.choices for field in line.fields if field.name == "status"] == [
        {0: "draft", 3: "posted", 4: "posted"}
    ]


def test_an_entity_in_two_files_is_a_mistake_that_names_the_second() -> None:
    with pytest.raises(MapError, match=r"second\.toml: \[entities\.Line\] is mapped twice"):
        compile_maps([("first.toml", GOOD), ("second.toml", {**GOOD, "entities": {"Line": GOOD["entities"]["Line"]}})])


def test_entities_of_two_files_refer_to_each_other() -> None:
    entities = GOOD["entities"]
    maps: Maps = compile_maps(
        (f"{name}.toml", {**GOOD, "entities": {name: entities[name]}}) for name in ("Line", "Journal")
    )
    assert maps.entities.keys() == {"Line", "Journal"}
