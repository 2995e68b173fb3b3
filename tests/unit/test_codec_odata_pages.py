"""Answers of the Dataverse Web API and of Finance OData, as a poller puts them on a topic (R9)."""

import json
from typing import Any

import pytest

from engine.errors import Rejected
from engine.events.facts import Change, iso
from engine.mapping.compiler import COMPANY
from handlers import change_events
from streams.codec import ANSWERED, TABLE, PartlyRejected, change_json, decode
from streams.codec.environments import Environments
from streams.codec.odata_pages import singulars
from tests.support import payloads
from tests.support.payloads import ACTUAL, DATAVERSE, FINANCE, MISSING, OTHER, ROW, STAGING, encoded, etag

NOON = [(ANSWERED, b"2025-01-09T12:00:00Z")]


def page(context: str, *rows: Any) -> bytes:
    return encoded(payloads.page(context, *rows))


def changes(value: bytes, headers: Any = NOON, **options: Any) -> list[Change]:
    facts = decode(value, headers, **options)
    assert all(isinstance(fact, Change) for fact in facts)
    return facts  # type: ignore[return-value]


@pytest.mark.requirement("R9")
def test_each_row_of_a_page_is_a_change() -> None:
    first, second = changes(page(DATAVERSE + "msdyn_actuals", ACTUAL, {**ACTUAL, "msdyn_actualid": OTHER}))
    assert [(fact.operation, fact.source, fact.entity, fact.id) for fact in (first, second)] == [
        ("upsert", "dataverse", "msdyn_actual", ROW),
        ("upsert", "dataverse", "msdyn_actual", OTHER),
    ]
    assert (first.evidence.source, first.evidence.version) == ("/dataverse/org.crm4.dynamics.com", 5961002)


@pytest.mark.requirement("R9")
def test_a_page_without_rows_says_nothing() -> None:
    assert changes(page(DATAVERSE + "msdyn_actuals")) == []


@pytest.mark.requirement("R9")
@pytest.mark.parametrize(
    ("entity_set", "table"),
    [
        ("msdyn_actuals", "msdyn_actual"),
        ("msdyn_expenses", "msdyn_expense"),
        ("transactioncurrencies", "transactioncurrency"),
        ("msdyn_transactioncategories", "msdyn_transactioncategory"),
        ("cdm_companies", "cdm_company"),
        ("contoso_boxes", "contoso_box"),
        ("contoso_addresses", "contoso_address"),
        ("contoso_caches", "contoso_cache"),
        ("contoso_movies", "contoso_movie"),
        ("contoso_news", "contoso_news"),
    ],
)
def test_the_table_behind_an_entity_set_is_the_one_whose_key_the_row_has(entity_set: str, table: str) -> None:
    (fact,) = changes(page(DATAVERSE + entity_set, {f"{table}id": ROW}))
    assert (fact.entity, fact.id) == (table, ROW)
    assert table in singulars(entity_set)


@pytest.mark.requirement("R9")
@pytest.mark.parametrize("named", ["@odata.id", "@odata.editLink"])
def test_a_row_with_another_key_is_named_by_its_address(named: str) -> None:
    address = f"https://org.crm4.dynamics.com/api/data/v9.2/contoso_things({ROW})"
    (fact,) = changes(page(DATAVERSE + "contoso_things", {named: address, "a": 1}))
    assert (fact.entity, fact.id) == ("contoso_thing", ROW)


@pytest.mark.requirement("R9")
@pytest.mark.parametrize(
    "context",
    [
        "msdyn_actuals",
        "msdyn_actuals(msdyn_amount,msdyn_externalreferenceid)",
        "msdyn_actuals(msdyn_amount)/$delta",
        "msdyn_actuals/$delta",
    ],
)
def test_the_selection_of_columns_is_no_part_of_the_name(context: str) -> None:
    (fact,) = changes(page(DATAVERSE + context, ACTUAL))
    assert fact.entity == "msdyn_actual"


@pytest.mark.requirement("R9")
def test_the_answer_to_a_read_of_one_row_is_a_change() -> None:
    (fact,) = changes(json.dumps({"@odata.context": DATAVERSE + "msdyn_actuals/$entity", **ACTUAL}).encode())
    assert (fact.entity, fact.id, fact.columns["msdyn_amount"]) == ("msdyn_actual", ROW, 100)


@pytest.mark.requirement("R9")
@pytest.mark.parametrize(
    "row",
    [
        {"@odata.context": DATAVERSE + "msdyn_actuals/$deletedEntity", "id": OTHER, "reason": "deleted"},
        {"@removed": {"reason": "deleted"}, "msdyn_actualid": OTHER},
    ],
)
def test_a_deleted_row_of_change_tracking_is_a_delete(row: dict[str, Any]) -> None:
    (fact,) = changes(page(DATAVERSE + "msdyn_actuals/$delta", row))
    assert (fact.operation, fact.entity, fact.id, fact.columns) == ("delete", "msdyn_actual", OTHER, {})
    assert iso(fact.evidence.at) == "2025-01-09T12:00:00Z"


@pytest.mark.requirement("R9")
def test_annotations_are_no_columns_and_lookups_have_their_own_names() -> None:
    row = {
        **ACTUAL,
        "msdyn_amount@OData.Community.Display.V1.FormattedValue": "€ 100,00",
        "_msdyn_project_value": OTHER.upper(),
        "_msdyn_project_value@Microsoft.Dynamics.CRM.lookuplogicalname": "msdyn_project",
        "_msdyn_project_value@OData.Community.Display.V1.FormattedValue": "Alpha",
        "_transactioncurrencyid_value": None,
        "_ownerid_value": OTHER,
        "exchangerate": 1.0,
    }
    (fact,) = changes(page(DATAVERSE + "msdyn_actuals", row))
    assert fact.columns == {
        "msdyn_actualid": ROW,
        "msdyn_amount": 100,
        "msdyn_project": {"entity": "msdyn_project", "id": OTHER, "name": None},
        "transactioncurrencyid": None,
        "ownerid": {"entity": None, "id": OTHER, "name": None},
        "exchangerate": "1.0",
    }


@pytest.mark.requirement("R2", "R9")
def test_a_value_of_an_unknown_kind_is_kept_and_marked() -> None:
    (fact,) = changes(page(DATAVERSE + "msdyn_actuals", {**ACTUAL, "msdyn_Project": {"msdyn_subject": "Alpha"}}))
    assert fact.columns["msdyn_Project"] == {"msdyn_subject": "Alpha"}
    assert change_json(fact)["unknown"] == ["msdyn_Project"]


# --- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R9")
@pytest.mark.parametrize("name", [ANSWERED, "Tieout-Answered-At"])
def test_a_row_ranks_by_the_time_of_the_answer(name: str) -> None:
    (fact,) = changes(page(FINANCE + "Stagings", STAGING), [(name, b"2025-01-09T13:00:00+01:00")])
    assert iso(fact.evidence.at) == "2025-01-09T12:00:00Z"


@pytest.mark.requirement("R9")
@pytest.mark.parametrize("headers", [NOON, []])
def test_a_row_that_says_when_it_was_changed_ranks_by_that(headers: Any) -> None:
    row = {**ACTUAL, "modifiedon": "2025-01-08T09:38:03Z"}
    (fact,) = changes(page(DATAVERSE + "msdyn_actuals", row), headers)
    assert iso(fact.evidence.at) == "2025-01-08T09:38:03Z"


@pytest.mark.requirement("R7", "R9")
def test_a_row_without_any_time_cannot_be_ordered_but_can_be_looked_at() -> None:
    value = page(FINANCE + "Stagings", STAGING)
    with pytest.raises(Rejected, match="row 1 of Stagings: the row cannot be ordered: it has no modifiedon"):
        decode(value)
    (fact,) = changes(value, (), undated=True)
    assert change_json(fact)["at"] is None


@pytest.mark.requirement("R7")
def test_a_wrong_time_of_the_answer_is_rejected() -> None:
    with pytest.raises(Rejected, match="'noon' in the header tieout-answered-at is no RFC 3339 time"):
        decode(page(FINANCE + "Stagings", STAGING), [(ANSWERED, b"noon")])


# --- Finance ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3", "R9")
@pytest.mark.parametrize(
    ("row", "row_id"),
    [
        (STAGING, "5637151326"),
        ({**STAGING, "@odata.etag": etag("-12,5637151326", "1,5637144577")}, "5637151326"),
        ({"RecId": 5637151326, "dataAreaId": "uspm"}, "5637151326"),
        ({**STAGING, "RecId": "22565488870"}, "22565488870"),
    ],
)
def test_a_row_of_finance_is_known_by_its_rec_id(row: dict[str, Any], row_id: str) -> None:
    (fact,) = changes(page(FINANCE + "ProjCDSActualsImports", row))
    assert (fact.source, fact.entity, fact.id) == ("finance", "ProjCDSActualsImport", row_id)
    assert (fact.company, fact.columns[COMPANY], fact.evidence.version) == ("USPM", "USPM", 0)


@pytest.mark.requirement("R3", "R9")
def test_a_virtual_row_read_from_dataverse_is_one_of_finance() -> None:
    entity_set = "mserp_projcdsactualsimportentities"
    key = "mserp_projcdsactualsimportentityid"
    row = {key: "00004951-0000-0000-5e1a-005001000000", "mserp_dataareaid": "uspm"}
    (fact,) = changes(page(DATAVERSE + entity_set, row))
    assert (fact.source, fact.entity, fact.id, fact.company) == (
        "finance",
        "mserp_projcdsactualsimportentity",
        "5637151326",
        "USPM",
    )


# --- what is rejected -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R85")
def test_an_answer_of_an_unknown_host_is_rejected() -> None:
    value = page(DATAVERSE + "msdyn_actuals", ACTUAL)
    assert changes(value, environments=Environments(("ORG.crm4.dynamics.com",)))
    with pytest.raises(Rejected, match=r"'org\.crm4\.dynamics\.com' at .* is none of this installation's \(contoso\)"):
        decode(value, NOON, environments=Environments(("contoso",)))


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (5, "a row is expected, this is a number"),
        ({"msdyn_amount": 1}, "there is no column msdyn_actualid"),
        ({"msdyn_actualid": "00000000-0000-0000-0000-000000000000"}, "the row names no id"),
        ({"@removed": {}}, "its id is not said"),
    ],
)
def test_a_row_that_cannot_be_understood_is_named_and_the_others_are_taken(row: Any, reason: str) -> None:
    with pytest.raises(PartlyRejected, match=f"row 2 of msdyn_actuals: .*{reason}") as part:
        decode(page(DATAVERSE + "msdyn_actuals", ACTUAL, row, {**ACTUAL, "msdyn_actualid": OTHER}), NOON)
    assert [fact.id for fact in part.value.facts if isinstance(fact, Change)] == [ROW, OTHER]


@pytest.mark.requirement("R7")
@pytest.mark.parametrize("tag", [MISSING, 'W/"5961002"', 'W/"JzEs"', "5637151326", 5, etag("1,0")])
def test_a_row_of_finance_without_a_rec_id_is_rejected(tag: Any) -> None:
    row = {name: value for name, value in {**STAGING, "@odata.etag": tag}.items() if value is not MISSING}
    with pytest.raises(Rejected, match="the row names no RecId"):
        decode(page(FINANCE + "Stagings", row), NOON)


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    "context", ["msdyn_actuals", 5, None, "https://org.example/other/$metadata#rows", DATAVERSE, "x" * 30_000]
)
def test_an_answer_of_neither_system_is_rejected(context: Any) -> None:
    with pytest.raises(Rejected, match="is no address of the Dataverse Web API"):
        decode(json.dumps({"@odata.context": context, "value": []}).encode(), NOON)


@pytest.mark.requirement("R7")
def test_more_reasons_than_a_person_reads_are_counted() -> None:
    with pytest.raises(PartlyRejected, match=r"row 5 of .*; and 4,995 more$"):
        decode(page(DATAVERSE + "msdyn_actuals", *[{}] * 5_000), NOON)


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"error": {"code": "0x80072322", "message": "Number of requests exceeded"}}, "(0x80072322: Number of"),
        ({"status": 503}, "(status 503)"),
        ({"status": 429, "body": {"error": {"code": "", "message": "slow down"}}}, "(status 429: slow down)"),
        ({"error": None}, "and no event"),
    ],
)
def test_an_answer_that_refuses_is_rejected_with_what_it_says(content: dict[str, Any], told: str) -> None:
    with pytest.raises(Rejected) as rejected:
        decode(json.dumps(content).encode())
    assert told in str(rejected.value)


@pytest.mark.requirement("R9")
def test_the_table_that_a_poller_asked_for_wins_over_the_name_of_the_set() -> None:
    value = encoded(
        {
            "@odata.context": "https://contoso.operations.dynamics.com/data/$metadata#ExpenseTransactions",
            "value": [{"RecId": 5637144576, "AmountCurr": "1.00"}],
        }
    )
    (fact,) = decode(value, [*NOON, (TABLE, b"TrvExpTrans")])
    assert isinstance(fact, Change)
    assert (fact.entity, fact.id) == ("TrvExpTrans", "5637144576")


def test_pollers_and_the_codec_name_their_headers_alike() -> None:
    assert (change_events.ANSWERED_AT, change_events.TABLE) == (ANSWERED, TABLE)
