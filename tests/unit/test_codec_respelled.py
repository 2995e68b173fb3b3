"""Contexts that a service has read and written again, and contexts about several rows (R2, R5, R8)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import Rejected
from engine.events.facts import Change
from streams.codec import PartlyRejected, change_json, decode
from tests.support.payloads import MISSING, NONE, OTHER, ROW, context, encoded, kind, target, without_missing

pytestmark = pytest.mark.requirement("R91")

Json = dict[str, Any]
THIRD = "0e3f0f1e-2b6d-4f55-9d0e-3a7c7f0a5b11"
COLUMNS = {
    "msdyn_amount": kind("Money", Value=42.5),
    "msdyn_expensestatus": kind("OptionSetValue", Value=192350002),
    "kinds": [kind("OptionSetValue", Value=1), kind("OptionSetValue", Value=2)],
    "msdyn_project": kind("EntityReference", Id=OTHER, LogicalName="msdyn_project", Name=None, KeyAttributes=[]),
    "msdyn_description": "Taxi",
    "modifiedon": "/Date(1736329262000)/",
    "statecode": None,
}
CREATED = {"MessageName": "Create", "PrimaryEntityId": NONE, "OutputParameters": [{"key": "id", "value": ROW}]}


def said(event: Json) -> list[Json]:
    facts = decode(encoded(event))
    assert all(isinstance(fact, Change) for fact in facts)
    return [change_json(fact) for fact in facts if isinstance(fact, Change)]


def rewritten(content: Any, change: Callable[[Json], Json]) -> Any:
    """JSON of which every object is changed, the innermost first."""
    if isinstance(content, list):
        return [rewritten(item, change) for item in content]
    if isinstance(content, dict):
        return change({name: rewritten(value, change) for name, value in content.items()})
    return content


def capitals(members: Json) -> Json:
    return {name.capitalize() if name in ("key", "value") else name: value for name, value in members.items()}


def untyped(members: Json) -> Json:
    return {name: value for name, value in members.items() if name != "__type"}


def extended(members: Json) -> Json:
    """What .NET leaves on an object that it does not know all members of."""
    return {**untyped(members), "ExtensionData": None} if "__type" in members else members


def wrapped(members: Json) -> Json:
    """Scalars in objects that name their type."""
    types = {str: "String:#System", int: "Int32:#System"}
    pairs = {"Id", "PrimaryEntityId", "OperationCreatedOn", "OperationId", "CorrelationId", "MessageName", "Stage"}
    pairs |= {"value"} if "key" in members else set()
    return {
        name: {"__type": types[type(value)], "__value": value} if name in pairs and type(value) in types else value
        for name, value in members.items()
    }


REWRITES = [capitals, untyped, extended, wrapped]


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("change", REWRITES, ids=[change.__name__ for change in REWRITES])
@pytest.mark.parametrize("members", [{}, CREATED, {"MessageName": "Delete"}, {"InputParameters": MISSING}])
def test_a_context_says_the_same_however_its_pairs_kinds_and_scalars_are_written(
    members: Json, change: Callable[[Json], Json]
) -> None:
    event = context(COLUMNS, **members)
    again = rewritten(event, change)
    assert said(again) == said(event)
    mixed = {**event, "InputParameters": again.get("InputParameters", MISSING)}
    assert said(without_missing(mixed)) == said(event)


@pytest.mark.requirement("R2")
def test_a_pair_in_capitals_without_a_name_is_rejected_as_one_in_small_letters_is() -> None:
    event = context(InputParameters=[{"Key": "Target", "Value": target({}, Attributes=[{"Value": 1}])}])
    with pytest.raises(Rejected, match="`key`"):
        decode(encoded(event))


SCALARS = {
    "a guid": ("Guid:#System", ROW.upper(), ROW),
    "a time": ("DateTime:#System", "/Date(1736329262000)/", "2025-01-08T09:41:02Z"),
    "a text": ("string:http://www.w3.org/2001/XMLSchema", "Taxi", "Taxi"),
    "a whole number": ("int:http://www.w3.org/2001/XMLSchema", 5, 5),
    "a fraction": ("Decimal:#System", 42.5, "42.5"),
    "a truth value": ("boolean:http://www.w3.org/2001/XMLSchema", True, True),
    "null": ("string:http://www.w3.org/2001/XMLSchema", None, None),
}


@pytest.mark.requirement("R2", "R8")
@pytest.mark.parametrize(("name", "written", "read"), SCALARS.values(), ids=SCALARS.keys())
def test_a_scalar_in_an_object_that_names_its_type_is_the_scalar(name: str, written: Any, read: Any) -> None:
    (printed,) = said(context({"column": {"__type": name, "__value": written}}))
    assert printed["columns"] == {"column": read}
    assert "unknown" not in printed


TIMES = {
    "in the zone of a machine": ("2025-01-07T18:00:00-06:00", "2025-01-08T00:00:00Z"),
    "without a zone": ("2025-01-08T00:00:00", "2025-01-08T00:00:00Z"),
    "with fractions of a second": ("2025-01-08T01:00:00.5000000+01:00", "2025-01-08T00:00:00.500000Z"),
    "in UTC": ("2025-01-08T00:00:00.0000000Z", "2025-01-08T00:00:00.0000000Z"),
    "with its offset beside": (
        {"__type": "DateTimeOffset:#System", "DateTime": "/Date(1736294400000)/", "OffsetMinutes": 60},
        "2025-01-08T00:00:00Z",
    ),
    "no time": ("2025-13-08T00:00:00", "2025-13-08T00:00:00"),
    "a sentence": ("2025-01-08Tomorrow", "2025-01-08Tomorrow"),
    "a date": ("2025-01-08", "2025-01-08"),
}


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(("written", "read"), TIMES.values(), ids=TIMES.keys())
def test_a_time_that_was_written_again_is_brought_back_to_utc(written: Any, read: str) -> None:
    (printed,) = said(context({"msdyn_transactiondate": written}))
    assert printed["columns"] == {"msdyn_transactiondate": read}


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(
    "value", [{"Value": "42,5"}, {"Value": True}, {"Value": 1, "CanBeChanged": True}, {"Id": ROW}, {"__value": 5}]
)
def test_an_object_that_is_nearly_a_value_without_its_kind_stays_unknown(value: Json) -> None:
    (printed,) = said(context({"strange": value}))
    assert (printed["columns"], printed["unknown"]) == ({"strange": value}, ["strange"])


@pytest.mark.requirement("R8")
@pytest.mark.parametrize("zero", [NONE, f"{{{NONE}}}", {"__type": "Guid:#System", "__value": NONE}])
def test_ids_of_zeros_are_none(zero: Any) -> None:
    project = kind("EntityReference", Id=NONE, LogicalName="msdyn_project", Name=None)
    event = context({"msdyn_project": project}, CorrelationId=zero, OperationId=zero)
    (printed,) = said({**event, "OrganizationId": zero, "OrganizationName": None})
    assert (printed["correlation_id"], printed["event_id"]) == (None, None)
    assert printed["columns"]["msdyn_project"]["id"] is None


@pytest.mark.requirement("R8", "R85")
def test_an_organisation_of_zeros_names_no_environment() -> None:
    (fact,) = decode(encoded(context({}, OrganizationId=NONE, OrganizationName=None)))
    assert fact.evidence.source == "/dataverse/"


@pytest.mark.requirement("R8")
@pytest.mark.parametrize(
    ("member", "value", "reason"), [("id", NONE, "names no row"), ("correlationid", NONE, ""), ("event", NONE, "")]
)
def test_ids_of_zeros_in_a_cloud_event_are_none(member: str, value: str, reason: str) -> None:
    row = {"entity": "msdyn_actual", "id": value if member == "id" else ROW, "operation": "upsert"}
    event: Json = {"specversion": "1.0", "id": value if member == "event" else "9f", "source": "/dataverse/harbour"}
    event |= {"type": "tieout.row.changed", "time": "2025-01-08T09:37:24Z", "data": row}
    event |= {"correlationid": value if member == "correlationid" else "c"}
    if reason:
        with pytest.raises(Rejected, match=reason):
            decode(encoded(event))
    else:
        (printed,) = said(event)
        assert None in (printed["event_id"], printed["correlation_id"])


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("stage", [10, 20, "20", {"__type": "Int32:#System", "__value": 20}])
@pytest.mark.parametrize("message", ["Create", "Delete", "CreateMultiple"])
def test_a_step_before_the_operation_is_at_most_a_notice(message: str, stage: Any) -> None:
    event = several(message, row(ROW)) if message.endswith("Multiple") else context({"a": 1}, MessageName=message)
    (printed,) = said({**event, "Stage": stage})
    assert (printed["operation"], printed["id"], printed["columns"]) == ("notify", ROW, {})


# --- several rows -----------------------------------------------------------------------------------------------------


def row(identifier: Any, columns: Json | None = None, **members: Any) -> Json:
    return target(columns if columns is not None else {"a": 1}, Id=identifier, **members)


def several(message: str, *rows: Any, **members: Any) -> Json:
    collection = kind("EntityCollection", Entities=list(rows), EntityName="msdyn_actual", MoreRecords=False)
    usual = {
        "MessageName": message,
        "PrimaryEntityId": NONE,
        "InputParameters": [{"key": "Targets", "value": collection}],
    }
    return context(**{**usual, **members})


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("operation", ["create", "update", "upsert", "delete"])
@pytest.mark.parametrize("change", [lambda members: members, *REWRITES])
def test_a_message_about_several_rows_is_a_change_of_each(operation: str, change: Callable[[Json], Json]) -> None:
    later = {"a": 2, "modifiedon": "/Date(1736329262000)/"}
    event = several(f"{operation.capitalize()}Multiple", row(ROW), row(OTHER, later, RowVersion="7"))
    first, second = said(rewritten(event, change))
    assert (first["operation"], first["id"], first["columns"]["a"]) == (operation, ROW, 1)
    assert (second["id"], second["at"], second["version"]) == (OTHER, "2025-01-08T09:41:02Z", 7)
    assert first["event_id"] == second["event_id"]


@pytest.mark.requirement("R2")
def test_the_rows_may_come_as_a_plain_list_and_their_ids_from_what_the_create_gave_out() -> None:
    rows = [row(MISSING), row(NONE)]
    given = [{"key": "Ids", "value": [ROW, OTHER]}]
    event = several("CreateMultiple", InputParameters=[{"key": "Targets", "value": rows}], OutputParameters=given)
    assert [change["id"] for change in said(event)] == [ROW, OTHER]


@pytest.mark.requirement("R5")
@pytest.mark.parametrize("inputs", [MISSING, [], [{"key": "Targets", "value": None}]])
def test_without_its_rows_such_a_message_asks_to_read_those_whose_ids_it_gave_out(inputs: Any) -> None:
    given = [{"key": "Ids", "value": [ROW, OTHER]}]
    event = several("CreateMultiple", InputParameters=inputs, OutputParameters=given)
    assert [(change["operation"], change["id"]) for change in said(event)] == [("notify", ROW), ("notify", OTHER)]
    event = several("UpdateMultiple", InputParameters=inputs)
    assert [(change["operation"], change["id"]) for change in said(event)] == [("notify", None)]


@pytest.mark.requirement("R2")
def test_of_a_row_told_twice_in_one_message_the_last_value_of_each_column_counts() -> None:
    event = several("UpdateMultiple", row(ROW, {"a": 1, "b": 1}), row(ROW.upper(), {"b": {}, "c": 3}))
    (printed,) = said(event)
    assert (printed["columns"], printed["unknown"]) == ({"a": 1, "b": {}, "c": 3}, ["b"])


@pytest.mark.requirement("R7")
def test_a_row_among_several_that_says_nothing_is_named_and_the_others_are_taken() -> None:
    event = several("CreateMultiple", row(ROW), row(NONE), row(OTHER, LogicalName="account"), 5, row(THIRD))
    with pytest.raises(PartlyRejected) as part:
        decode(encoded(event))
    said_why = str(part.value)
    assert "row 2 of 5 in Targets: the event names no row" in said_why
    assert "row 3 of 5 in Targets: it is of 'account', and the event is about msdyn_actual" in said_why
    assert "row 4 of 5 in Targets: Expected `object`" in said_why
    assert [fact.id for fact in part.value.facts if isinstance(fact, Change)] == [ROW, THIRD]


@pytest.mark.requirement("R7")
@pytest.mark.parametrize("targets", [{}, {"Entities": 5}])
def test_targets_that_are_no_rows_are_rejected(targets: Json) -> None:
    with pytest.raises(Rejected, match="Entities"):
        decode(json.dumps(several("CreateMultiple", InputParameters=[{"key": "Targets", "value": targets}])).encode())
