"""`RemoteExecutionContext` as Dataverse and Finance send it, in more forms than documented (R2, R3, R5, R85)."""

import json
from typing import Any

import pytest

from engine.errors import Rejected
from engine.events.facts import Change
from streams.codec import change_json, decode
from streams.codec.environments import Environments
from tests.support.payloads import (
    MISSING,
    NONE,
    ORGANISATION,
    OTHER,
    ROW,
    context,
    data_event,
    kind,
    target,
    targeted,
    without_missing,
)
from tests.support.stores import MAPS

AT = "2025-01-08T09:38:03Z"


def one(event: dict[str, Any] | bytes, **options: Any) -> Change:
    value = event if isinstance(event, bytes) else json.dumps(event).encode()
    (fact,) = decode(value, **options)
    assert isinstance(fact, Change)
    return fact


def said(event: dict[str, Any] | bytes) -> dict[str, Any]:
    return change_json(one(event))


# --- values -----------------------------------------------------------------------------------------------------------

VALUES: dict[str, tuple[Any, Any]] = {
    "text": ("Flight", "Flight"),
    "empty text": ("", ""),
    "an integer": (5, 5),
    "a truth value": (True, True),
    "null clears": (None, None),
    "a guid": ("{FF26F5F6-2CD4-EF11-A730-0022480431D9}", ROW),
    "text that is nearly a guid": ("FF26F5F6-2CD4-EF11-A730-0022480431DX", "FF26F5F6-2CD4-EF11-A730-0022480431DX"),
    "a date": ("/Date(1722582039000)/", "2024-08-02T07:00:39Z"),
    "a date with fractions of a second": ("/Date(1722582039123)/", "2024-08-02T07:00:39.123000Z"),
    "a date with a zone of zero": ("/Date(1736294400000+0000)/", "2025-01-08T00:00:00Z"),
    "a date before 1970": ("/Date(-2208988800000)/", "1900-01-01T00:00:00Z"),
    "a date in the year 9999": ("/Date(253402300799999)/", "9999-12-31T23:59:59.999000Z"),
    "a date beyond all years": ("/Date(253402300800000)/", "/Date(253402300800000)/"),
    "text that is nearly a date": ("/Date(tomorrow)/", "/Date(tomorrow)/"),
    "a choice": (kind("OptionSetValue", Value=192350001), 192350001),
    "a choice without a value": (kind("OptionSetValue", Value=None), None),
    "choices": ([kind("OptionSetValue", Value=1), kind("OptionSetValue", Value=2)], [1, 2]),
    "no choices": ([], []),
    "money without a fraction": (kind("Money", Value=0), "0"),
    "money without a value": (kind("Money", Value=None), None),
    "a lookup": (
        kind("EntityReference", Id=ROW.upper(), LogicalName="msdyn_project", Name="Alpha", KeyAttributes=[]),
        {"entity": "msdyn_project", "id": ROW, "name": "Alpha"},
    ),
    "a lookup without a name": (
        kind("EntityReference", Id=ROW, LogicalName="account"),
        {"entity": "account", "id": ROW, "name": None},
    ),
}


@pytest.mark.requirement("R2", "R8")
@pytest.mark.parametrize(("written", "read"), VALUES.values(), ids=VALUES.keys())
def test_a_value_of_each_kind_is_read(written: Any, read: Any) -> None:
    printed = said(context({"column": written}))
    assert printed["columns"] == {"column": read}
    assert "unknown" not in printed


@pytest.mark.requirement("R2", "R8")
@pytest.mark.parametrize("digits", ["100.0", "100.10", "0.1", "-3.5", "79228162514264337593543950335.25", "1E2"])
def test_money_and_numbers_keep_the_digits_as_written(digits: str) -> None:
    event = json.dumps(context({"money": kind("Money", Value="DIGITS"), "number": "DIGITS"}))
    columns = said(event.replace('"DIGITS"', digits).encode())["columns"]
    assert columns == {"money": digits, "number": digits}


UNKNOWN: dict[str, Any] = {
    "activity parties": [target({"addressusedtype": 1})],
    "an entity": target({"a": "b"}),
    "a collection": kind("EntityCollection", Entities=[]),
    "texts": ["a", "b"],
    "keys and values": [{"key": "a", "value": 1}],
    "a wrapped object": {"__type": "decimal:http://www.w3.org/2001/XMLSchema", "__value": {"a": 5}},
    "a managed property": kind("BooleanManagedProperty", Value=True, CanBeChanged=True),
    "a choice that is a text": kind("OptionSetValue", Value="first"),
    "a choice among something else": [kind("OptionSetValue", Value=1), "second"],
    "a choice that is cleared among choices": [kind("OptionSetValue", Value=None)],
    "money that is a list": kind("Money", Value=[1]),
    "a lookup whose id is a number": kind("EntityReference", Id=5, LogicalName="account"),
    "a type that is no text": {"__type": 5, "Value": 1},
    "an object": {},
}


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("value", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_value_of_an_unknown_kind_is_kept_as_it_came_and_marked(value: Any) -> None:
    printed = said(context({"strange": value, "msdyn_amount": kind("Money", Value=5)}))
    assert printed["columns"] == {"strange": value, "msdyn_amount": "5"}
    assert printed["unknown"] == ["strange"]


@pytest.mark.requirement("R2")
def test_a_column_without_a_value_is_cleared_and_of_one_told_twice_the_last_counts() -> None:
    attributes = [{"key": "a"}, {"key": "b", "value": 1}, {"key": "b", "value": 2}]
    event = context(InputParameters=[{"key": "Target", "value": target({}, Attributes=attributes)}])
    assert said(event)["columns"] == {"a": None, "b": 2}


# --- what happened ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2", "R3")
@pytest.mark.parametrize(
    ("message", "operation"),
    [
        ("Create", "create"),
        ("Update", "update"),
        ("Upsert", "upsert"),
        ("OnExternalCreated", "create"),
        ("OnExternalUpdated", "update"),
        ("OnExternalDeleted", "delete"),
        ("Assign", "notify"),
        ("SetStateDynamicEntity", "notify"),
        ("Close", "notify"),
        ("contoso_Recalculate", "notify"),
        (None, "notify"),
        (5, "notify"),
    ],
)
def test_the_message_says_what_happened(message: Any, operation: str) -> None:
    fact = one(context({"a": 1}, MessageName=message))
    assert (fact.operation, fact.entity, fact.id, fact.truncated) == (operation, "msdyn_actual", ROW, False)


REFERENCE = kind("EntityReference", Id=ROW, LogicalName="msdyn_actual", Name=None, KeyAttributes=[])


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("parameter", [REFERENCE, target({}), {**REFERENCE, "Id": NONE}, {}])
def test_a_delete_names_its_row_by_reference(parameter: dict[str, Any]) -> None:
    event = context(MessageName="Delete", InputParameters=[{"key": "Target", "value": parameter}])
    fact = one(event)
    assert (fact.operation, fact.id, fact.columns) == ("delete", ROW, {})


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("inputs", [[], [{"key": "Target", "value": {**REFERENCE, "Id": OTHER}}]])
def test_a_delete_needs_no_target(inputs: list[Any]) -> None:
    fact = one(context(MessageName="Delete", InputParameters=inputs))
    assert (fact.operation, fact.id, fact.columns) == ("delete", ROW, {})


@pytest.mark.requirement("R2")
def test_an_update_by_reference_changes_no_column() -> None:
    fact = one(context(InputParameters=[{"key": "Target", "value": REFERENCE}]))
    assert (fact.operation, fact.columns) == ("update", {})


@pytest.mark.requirement("R5")
@pytest.mark.parametrize("message", ["Create", "Update", "Delete", "OnExternalUpdated", "Close"])
@pytest.mark.parametrize("inputs", [MISSING, None])
def test_an_event_cut_for_its_size_asks_to_read_the_row_again(message: str, inputs: Any) -> None:
    fact = one(context(MessageName=message, InputParameters=inputs, PostEntityImages=MISSING))
    assert (fact.operation, fact.id, fact.columns, fact.truncated) == ("notify", ROW, {}, True)


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("inputs", [[], [{"key": "State", "value": 1}], [{"key": "Target", "value": "text"}]])
def test_a_message_without_a_target_asks_to_read_the_row_again(inputs: list[Any]) -> None:
    fact = one(context(MessageName="Update", InputParameters=inputs))
    assert (fact.operation, fact.columns, fact.truncated) == ("notify", {}, False)


@pytest.mark.requirement("R2")
def test_a_step_before_the_operation_says_nothing_that_holds() -> None:
    assert one(context({"a": 1}, Stage=20)).operation == "notify"
    assert one(context({"a": 1}, Stage=30)).operation == "update"


# --- which row --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2", "R8")
@pytest.mark.parametrize("written", [ROW, ROW.upper(), f"{{{ROW.upper()}}}"])
def test_a_row_has_one_id_however_it_is_spelled(written: str) -> None:
    event = context({"a": 1}, PrimaryEntityId=written)
    assert said(event)["id"] == ROW
    assert said(event)["columns"] == {"a": 1}


FALLBACKS: dict[str, dict[str, Any]] = {
    "the target's": targeted({"PrimaryEntityId": NONE}),
    "the target's, without a member at the top": targeted({"PrimaryEntityId": MISSING}, LogicalName=MISSING),
    "the key column": targeted({"PrimaryEntityId": NONE}, {"msdyn_actualid": ROW.upper()}, Id=NONE),
    "the one a create gave out": targeted(
        {"PrimaryEntityId": NONE, "MessageName": "Create", "OutputParameters": [{"key": "id", "value": ROW}]},
        Id=MISSING,
    ),
}


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("event", FALLBACKS.values(), ids=FALLBACKS.keys())
def test_without_an_id_at_the_top_the_row_is_named_elsewhere(event: dict[str, Any]) -> None:
    assert one(event).id == ROW


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("members", [{"Id": OTHER}, {"LogicalName": "account"}])
def test_a_target_that_is_another_row_gives_this_one_no_values(members: dict[str, Any]) -> None:
    fact = one(targeted({}, **members))
    assert (fact.operation, fact.entity, fact.id, fact.columns) == ("notify", "msdyn_actual", ROW, {})


DECOY = {
    **context({"decoy": 1, "modifiedon": "/Date(1800000000000)/"}),
    "PrimaryEntityName": "account",
    "PrimaryEntityId": OTHER,
    "OrganizationId": OTHER,
    "OrganizationName": "elsewhere",
    "MessageName": "Delete",
}
NEIGHBOURS: dict[str, dict[str, Any]] = {
    "a parent": {"ParentContext": DECOY},
    "images": {
        "PreEntityImages": [{"key": "PreImage", "value": target({"decoy": 1}, Id=OTHER)}],
        "PostEntityImages": [{"key": "AsynchronousStepPrimaryName", "value": {"Attributes": [], "Id": OTHER}}],
    },
    "shared variables": {"SharedVariables": [{"key": "Target", "value": target({"decoy": 1})}]},
    "strange members": {"OwningExtension": 5, "RequestId": [], "UserId": {}, "specVersion": "1.0", "value": []},
    "members of strange kinds": {"PreEntityImages": "none", "OutputParameters": 5, "BusinessUnitId": {"a": []}},
    "a parameter before": {"InputParameters": [{"key": "PreImage", "value": target({"decoy": 1})}]},
    "a parameter of another case": {"InputParameters": [{"key": "target", "value": target({"decoy": 1})}]},
    "a parameter that is no pair": {"InputParameters": [{}, {"key": 5}, {"value": []}]},
}


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("members", NEIGHBOURS.values(), ids=NEIGHBOURS.keys())
def test_neighbours_do_not_mislead(members: dict[str, Any]) -> None:
    event = context({"a": 1})
    plain = said(event)
    before = members.get("InputParameters", [])
    assert said({**event, **members, "InputParameters": [*before, *event["InputParameters"]]}) == plain


@pytest.mark.requirement("R2")
def test_formatted_values_are_not_read() -> None:
    formatted = [{"key": "a", "value": "1.234,50 €"}]
    assert one(targeted({}, FormattedValues=formatted)).columns == {"a": 1}


# --- when, and which event --------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("/Date(1736413211000)/", "2025-01-09T09:00:11Z"),
        ("/Date(1736413211000+0000)/", "2025-01-09T09:00:11Z"),
        ("/Date(1736413211000-0700)/", "2025-01-09T02:00:11Z"),
        ("/Date(1736413211000+0530)/", "2025-01-09T14:30:11Z"),
        ("/Date(-1000)/", "1969-12-31T23:59:59Z"),
        ("2025-01-09T02:00:11Z", "2025-01-09T02:00:11Z"),
    ],
)
def test_the_time_of_an_operation_is_brought_to_utc(written: str, at: str) -> None:
    assert said(context({"a": 1}, OperationCreatedOn=written))["at"] == at


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(
    ("modified", "at"), [("/Date(1736329082000)/", "2025-01-08T09:38:02Z"), (None, AT), ("soon", AT), (5, AT)]
)
def test_the_rows_own_time_comes_before_that_of_the_operation(modified: Any, at: str) -> None:
    assert said(context({"modifiedon": modified}))["at"] == at


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(
    ("version", "columns", "read"),
    [
        ("5948260", {}, 5948260),
        (None, {"versionnumber": 7}, 7),
        (None, {}, None),
        ("x", {}, None),
        ("9" * 30, {}, None),
    ],
)
def test_a_row_version_is_read_where_there_is_one(version: Any, columns: dict[str, Any], read: int | None) -> None:
    assert said(targeted({}, {"a": 1, **columns}, RowVersion=version))["version"] == read


@pytest.mark.requirement("R2")
def test_the_event_is_known_by_its_operation() -> None:
    fact = one(context({"a": 1}, OperationId="{2E4C8A10-9BCD-EF11-B8E8-0022480431D9}"))
    assert (fact.evidence.source, fact.evidence.event) == (
        "/dataverse/unq7f1d",
        "2e4c8a10-9bcd-ef11-b8e8-0022480431d9",
    )
    assert said(context({"a": 1}, OperationId=MISSING, CorrelationId=5))["event_id"] is None


# --- Finance data events ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("message", ["OnExternalUpdated", "Update"])
def test_a_row_of_a_virtual_entity_is_one_of_finance_with_its_rec_id(message: str) -> None:
    fact = one(data_event(MessageName=message))
    assert (fact.operation, fact.source, fact.id, fact.company) == ("update", "finance", "5637151326", "USPM")


@pytest.mark.requirement("R3")
@pytest.mark.parametrize(
    ("identifier", "row"),
    [
        ("00004951-0000-0000-0010-005001000000", "5637148672"),
        ("00004951-0000-0000-f8c9-0b4105000000", "22566128120"),
        ("00004951-0000-0000-ffff-ffffffffff7f", "9223372036854775807"),
        # The last eight bytes are no RecId: negative, or zero.
        ("00004951-0000-0000-ffff-ffffffffffff", "00004951-0000-0000-ffff-ffffffffffff"),
        ("00004951-0000-0000-0000-000000000000", "00004951-0000-0000-0000-000000000000"),
    ],
)
def test_a_rec_id_is_read_from_the_guid_of_a_virtual_row(identifier: str, row: str) -> None:
    assert one(data_event(PrimaryEntityId=identifier, InputParameters=None)).id == row


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("written", ["uspm", " USPM ", "0031", 31])
def test_the_company_of_a_data_event_compares_without_case(written: Any) -> None:
    assert one(data_event({"mserp_dataareaid": written})).company == str(written).strip().upper()


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("columns", [{"mserp_amount": 1}, {"mserp_dataareaid": None}, {"mserp_dataareaid": ""}])
def test_a_data_event_need_not_name_a_company(columns: dict[str, Any]) -> None:
    assert one(data_event(columns)).company is None


ENVELOPE = {
    "BusinessEventId": "ProjCDSActualsImportEntity_DataEvent_Create",
    "ControlNumber": 5637200017,
    "EventId": "41095D86-67C6-11EF-A730-42F7B9ABAA18",
    "EventTime": "/Date(1736329262000)/",
    "MessageName": "Create",
    "PrimaryEntityName": "ProjCDSActualsImportEntity",
    "PrimaryEntityId": OTHER,
}
WITHOUT: dict[str, Any] = dict.fromkeys(
    ["OperationCreatedOn", "OperationId", "OrganizationId", "OrganizationName"], MISSING
)


def enveloped(columns: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """A data event with the envelope of a business event."""
    row = target(columns or {"dataAreaId": "uspm", "Amount": kind("Money", Value=12.25)}, Id=OTHER, LogicalName=MISSING)
    inputs = [{"key": "Target", "value": row}]
    return context(**{**WITHOUT, **ENVELOPE, "InputParameters": inputs, **members})


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("left_out", [[], ["BusinessEventId"], ["EventId"], ["BusinessEventId", "ControlNumber"]])
def test_a_data_event_may_have_the_members_of_a_business_event_around_it(left_out: list[str]) -> None:
    event = enveloped()
    printed = said({name: value for name, value in event.items() if name not in left_out})
    assert (printed["operation"], printed["source"], printed["entity"]) == (
        "create",
        "finance",
        "ProjCDSActualsImportEntity",
    )
    assert (printed["at"], printed["company"]) == ("2025-01-08T09:41:02Z", "USPM")
    assert printed["event_id"] == (None if "EventId" in left_out else "41095d86-67c6-11ef-a730-42f7b9abaa18")
    assert printed["columns"] == {"dataAreaId": "uspm", "Amount": "12.25"}
    assert MAPS.find(printed["entity"]) is MAPS.entities["ProjCDSActualsImport"]


@pytest.mark.requirement("R3")
@pytest.mark.parametrize(
    ("columns", "members", "company"),
    [
        ({"Amount": 1}, {"BusinessEventLegalEntity": "gbpm"}, "GBPM"),
        ({"dataAreaId": "uspm"}, {"BusinessEventLegalEntity": "gbpm"}, "USPM"),
        ({"dataAreaId": None}, {"BusinessEventLegalEntity": "gbpm"}, None),
        ({"Amount": 1}, {}, None),
    ],
)
def test_its_company_is_the_rows_own_else_that_of_the_event(
    columns: dict[str, Any], members: dict[str, Any], company: str | None
) -> None:
    assert one(enveloped(columns, **members)).company == company


@pytest.mark.requirement("R3")
@pytest.mark.parametrize(
    ("columns", "identifier", "row"),
    [
        ({"RecId": 5637151326}, OTHER, "5637151326"),
        ({"RecId": "0"}, OTHER, OTHER),
        ({"a": 1}, "00004951-0000-0000-5e1a-005001000000", "5637151326"),
        ({"a": 1}, OTHER, OTHER),
    ],
)
def test_its_row_is_known_by_its_rec_id_where_it_has_one(columns: dict[str, Any], identifier: str, row: str) -> None:
    event = enveloped(columns, PrimaryEntityId=identifier)
    event["InputParameters"][0]["value"]["Id"] = identifier
    assert one(event).id == row


@pytest.mark.requirement("R3")
@pytest.mark.parametrize(
    ("members", "at"),
    [
        ({"EventTimeIso8601": "2025-01-08T09:41:02.5Z"}, "2025-01-08T09:41:02.500000Z"),
        ({"OperationCreatedOn": "/Date(1736329083000)/"}, AT),
        ({"OperationCreatedOn": "/Date(-2208988800000)/"}, "2025-01-08T09:41:02Z"),
    ],
)
def test_its_time_is_that_of_the_operation_else_that_of_the_event(members: dict[str, Any], at: str) -> None:
    assert said(enveloped(**members))["at"] == at


@pytest.mark.requirement("R85")
def test_it_names_no_environment_as_a_business_event_does_not_unless_it_does() -> None:
    assert one(enveloped(), environments=Environments(("elsewhere",))).source == "finance"
    with pytest.raises(Rejected, match="none of this installation's"):
        one(enveloped(OrganizationId=ORGANISATION), environments=Environments(("elsewhere",)))


# --- environments, and what is rejected -------------------------------------------------------------------------------


@pytest.mark.requirement("R85")
@pytest.mark.parametrize("known", [ORGANISATION, ORGANISATION.upper(), f"{{{ORGANISATION}}}", "unq7f1d", "UNQ7F1D"])
def test_an_organisation_is_known_by_its_id_or_name(known: str) -> None:
    assert one(context({"a": 1}), environments=Environments(("contoso", known))).id == ROW


@pytest.mark.requirement("R85")
@pytest.mark.parametrize(
    "members", [{}, {"ParentContext": DECOY}, {"OrganizationId": MISSING, "OrganizationName": MISSING}]
)
@pytest.mark.parametrize("event", [context({"a": 1}), data_event()], ids=["Dataverse", "Finance"])
def test_an_event_of_an_unknown_organisation_is_rejected(event: dict[str, Any], members: dict[str, Any]) -> None:
    other = without_missing({**event, **members})
    with pytest.raises(Rejected, match=r"at \$\.OrganizationId, .* is none of this installation's \(elsewhere\)"):
        one(other, environments=Environments(("elsewhere",)))
    assert one(other).source


REASONS: dict[str, tuple[dict[str, Any], str]] = {
    "no table": (context(PrimaryEntityName=MISSING), "about no table: PrimaryEntityName is None"),
    "a message about no table": (context(PrimaryEntityName="none", MessageName="WhoAmI"), "'WhoAmI'"),
    "a table that is no text": (context(PrimaryEntityName=[]), "about no table"),
    "no row": (targeted({"PrimaryEntityId": NONE}, Id=MISSING), "names no row: Update of msdyn_actual"),
    "no time": (context({"a": 1}, OperationCreatedOn=MISSING), "cannot be ordered"),
    "a time that is none": (
        context({"a": 1}, OperationCreatedOn="/Date(soon)/"),
        "'/Date(soon)/' at $.OperationCreatedOn",
    ),
    "a time beyond all years": (context({"a": 1}, OperationCreatedOn="/Date(253402300800000)/"), "cannot be ordered"),
    "parameters that are no list": (context(InputParameters={"Target": 1}), "$.InputParameters"),
    "attributes that are no pairs": (targeted({}, Attributes={"a": 1}), "$.Attributes"),
    "an attribute without a name": (targeted({}, Attributes=[{"value": 1}]), "`key`"),
}


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(("event", "reason"), REASONS.values(), ids=REASONS.keys())
def test_a_context_that_cannot_be_understood_or_ordered_is_rejected(event: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected) as rejected:
        decode(json.dumps(event).encode())
    assert reason in str(rejected.value)
