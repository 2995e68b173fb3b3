"""What rows mean is configuration: the shipped maps cover the documents, and a mistake is named (R6)."""

import copy
import tomllib
from importlib.resources import files
from typing import Any

import pytest

from engine.errors import MapError
from engine.mapping.compiler import Maps, compile_maps
from engine.mapping.files import WrittenEntity
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
    assert shipped_maps().versions == ("finance.toml 1.2.0", "dataverse.toml 1.2.0")


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
AMOUNT = "[entities.Line] columns.amount"

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
    "a choice that is no number": ("entities.Line.choices.status.error", 1.5, ["Line", "choices"]),
    "one name of two choices": (
        "entities.Line.choices.status",
        {"draft": "New", "posted": ["Done", "new "]},
        ["entities.Line", "choices.status.posted", "'draft'"],
    ),
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
        (
            "entities.Line.columns.amount",
            5,
            f"{AMOUNT}: expected text or a list, got a whole number",
        ),
        ("entities.Line.columns.amount", ["A", 5], f"{AMOUNT}.2: expected text, got a whole number"),
        (
            "entities.Line.choices.status.error",
            1.5,
            "[entities.Line] choices.status.error: expected a whole number or text or a list, got a decimal number",
        ),
        (
            "entities.Line.colums",
            {},
            f"[entities.Line]: the key 'colums' is unknown; known are {', '.join(WrittenEntity.__struct_fields__)}",
        ),
        ("entities.Line.record", None, "[entities.Line]: the key 'record' is missing"),
        (
            "entities.Line.identity",
            [{"link": "x", "by": "id"}, {"by": "id"}],
            "[entities.Line] identity.2: the key 'link' is missing",
        ),
        ("source", "sap", "source: expected 'dataverse' or 'finance', got 'sap'"),
        ("owner", "me", "the key 'owner' is unknown; known are schema, version, source, entities, virtual_prefix"),
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


def test_an_entity_in_two_shipped_files_is_a_mistake_that_names_both() -> None:
    with pytest.raises(MapError, match=r"second\.toml: \[entities\.Line\] is mapped twice, here and in first\.toml"):
        compile_maps([("first.toml", GOOD), ("second.toml", {**GOOD, "entities": {"Line": GOOD["entities"]["Line"]}})])


def test_entities_of_two_files_refer_to_each_other() -> None:
    entities = GOOD["entities"]
    maps: Maps = compile_maps(
        (f"{name}.toml", {**GOOD, "entities": {name: entities[name]}}) for name in ("Line", "Journal")
    )
    assert maps.entities.keys() == {"Line", "Journal"}


# --- an environment's own files ---------------------------------------------------------------------------------------


def over(entities: dict[str, Any], source: str = "finance") -> dict[str, Any]:
    return {"schema": 1, "version": "7", "source": source, "entities": entities}


def laid(*entities: dict[str, Any], below: dict[str, Any] = GOOD) -> Maps:
    """The map `GOOD`, and over it files of the environment's own: `own1.toml`, …"""
    own = [(f"own{number}.toml", over(said)) for number, said in enumerate(entities, 1)]
    return compile_maps([("shipped.toml", below)], own)


def field(maps: Maps, entity: str, name: str) -> tuple[str, ...] | None:
    return next((item.columns for item in maps.entities[entity].fields if item.name == name), None)


def test_an_own_file_says_one_column_and_leaves_the_others() -> None:
    maps = laid({"Line": {"columns": {"voucher": "contoso_voucher"}}})
    assert field(maps, "Line", "voucher") == ("contoso_voucher",)
    assert field(maps, "Line", "status") == ("Status",)
    assert maps.entities["Line"].references == laid().entities["Line"].references
    assert "mserp_voucher" not in maps.entities["Line"].columns


def test_an_own_file_adds_a_field_and_takes_one_away() -> None:
    maps = laid({"Line": {"columns": {"project": "contoso_project", "status": []}}})
    assert field(maps, "Line", "project") == ("contoso_project",)
    assert field(maps, "Line", "status") is None


def test_an_own_file_numbers_one_choice_and_leaves_the_others() -> None:
    maps = laid({"Line": {"choices": {"status": {"posted": [200000003, "Posted"]}}}})
    (status,) = [item for item in maps.entities["Line"].fields if item.name == "status"]
    assert status.choices == {0: "draft", 200000003: "posted", "posted": "posted"}


def test_an_own_file_adds_names_links_and_entities() -> None:
    further = {"Header": {"record": "journal", "columns": {"number": "Number"}}}
    line = {"aliases": ["contoso_line"], "references": {"header": {"to": "Header", "by": "journal"}}, "identity": []}
    maps = laid({"Line": line, **further})
    assert maps.find("CONTOSO_LINE") is maps.find("mserp_line")
    assert [item.name for item in maps.entities["Line"].references] == ["journal", "header"]
    assert maps.entities["Line"].identity == ()


def test_another_record_starts_anew_under_the_same_names() -> None:
    maps = laid({"Line": {"record": "later"}})
    assert maps.entities["Line"].role.name == "later"
    assert maps.entities["Line"].fields == ()
    assert maps.find("mserp_line") is maps.entities["Line"]


def test_own_files_may_say_different_things_and_the_same_thing_twice() -> None:
    one, two = {"Line": {"columns": {"voucher": "A"}}}, {"Line": {"columns": {"voucher": "A", "project": "B"}}}
    assert laid(one, two).digest == laid(two, one).digest


def test_the_digest_tells_what_own_files_change() -> None:
    assert laid({"Line": {"columns": {"voucher": ["Voucher", "Number"]}}}).digest == laid().digest
    assert laid({"Line": {"columns": {"voucher": ["Number", "Voucher"]}}}).digest != laid().digest


CONTRADICTIONS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "two own files about one column": (
        [{"Line": {"columns": {"voucher": "A"}}}, {"Line": {"columns": {"voucher": "B"}}}],
        'own2.toml: [entities.Line] columns.voucher: "B" contradicts own1.toml, which says "A"; leave one of them out',
    ),
    "two own files about one choice": (
        [{"Line": {"choices": {"status": {"error": 8}}}}, {"Line": {"choices": {"status": {"error": 9}}}}],
        "own2.toml: [entities.Line] choices.status.error: 9 contradicts own1.toml, which says 8",
    ),
    "a number that the shipped file gives another meaning": (
        [{"Line": {"choices": {"status": {"error": 3}}}}],
        "own1.toml: [entities.Line] choices.status.error: 3 means 'error' here, and 'posted' in "
        "shipped.toml: [entities.Line] choices.status.posted",
    ),
    "a column that the shipped file reads as something else": (
        [{"Line": {"columns": {"amount": "Voucher"}}}],
        "own1.toml: [entities.Line] columns.amount: Voucher is read as text and as money",
    ),
    "an entity without a record": (
        [{"Header": {"columns": {"number": "Number"}}}],
        "own1.toml: [entities.Header]: the key 'record' is missing",
    ),
    "a field taken away that nobody feeds": (
        [{"Line": {"columns": {"amout": []}}}],
        "own1.toml: [entities.Line] columns.amout: no column feeds this field as it is",
    ),
    "a name that another entity has": (
        [{"Journal": {"aliases": ["mserp_line"]}}],
        "own1.toml: [entities.Journal] aliases.mserp_line: the name already means Line",
    ),
    "a link within a company here and over all companies there": (
        [
            {
                "Staging": {
                    "record": "staging",
                    "columns": {"line": "Line"},
                    "identity": [{"link": "journal-line", "by": "line", "company": True}],
                }
            }
        ],
        "own1.toml: [entities.Staging] identity journal-line: company = true contradicts shipped.toml: [entities.Line] "
        "identity journal-line, where company = false: their values would never meet",
    ),
    "references in a circle": (
        [{"Journal": {"references": {"first": {"to": "Line", "by": "id"}}}}],
        "shipped.toml: [entities.Line] references.journal: references lead in a circle: [entities.Line] "
        "references.journal → [entities.Journal] references.first → Line; leave one of them out",
    ),
    "a reference to itself": (
        [{"Journal": {"references": {"parent": {"link": "journal-number", "by": ["company", "number"]}}}}],
        "own1.toml: [entities.Journal] references.parent: references lead in a circle: [entities.Journal] "
        "references.parent → Journal",
    ),
}


@pytest.mark.parametrize(("own", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_files_that_contradict_each_other_are_named_with_what_they_say(own: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(MapError) as raised:
        laid(*own)
    assert str(raised.value).startswith(message)


def test_an_entity_is_of_one_system() -> None:
    with pytest.raises(MapError, match=r"own\.toml: \[entities\.Line\] is of dataverse here, and of finance"):
        compile_maps([("shipped.toml", GOOD)], [("own.toml", over({"Line": {}}, "dataverse"))])


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
