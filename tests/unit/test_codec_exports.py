"""Rows as Synapse Link and Fabric Link export them (R3, R9)."""

from typing import Any

import pytest

from engine.chains.records import first_record, record_key
from engine.errors import Rejected
from engine.events.facts import Change
from streams.codec import ANSWERED, TABLE, PartlyRejected, change_json, decode
from tests.support.envelopes import ENVELOPES
from tests.support.payloads import MISSING, NONE, ROW, encoded, without_missing
from tests.support.stores import MAPS

pytestmark = pytest.mark.requirement("R91")

Json = dict[str, Any]
NAMED = [(TABLE, b"trvexptrans")]
AT = "2025-01-08T09:41:02Z"


def row(**members: Any) -> Json:
    """An expense as Synapse Link exports it."""
    usual = {
        "Id": "00001e61-0000-0000-fbd8-005001000000",
        "SinkCreatedOn": "1/8/2025 9:45:00 AM",
        "SinkModifiedOn": "1/8/2025 9:45:00 AM",
        "projtransid": "EX-77",
        "amountcurr": 77.5,
        "exchangecode": "USD",
        "transdate": "2025-01-08T00:00:00.0000000",
        "approvalstatus": 6,
        "dataareaid": "uspm",
        "recid": 5637200123,
        "versionnumber": 4242,
        "modifieddatetime": "2025-01-08T09:41:02.0000000Z",
        "IsDelete": None,
        "PartitionId": "2025",
    }
    return without_missing({**usual, **members})


def one(event: Json, headers: Any = NAMED) -> Change:
    (fact,) = decode(encoded(event), headers)
    assert isinstance(fact, Change)
    return fact


@pytest.mark.requirement("R3", "R9")
def test_a_row_is_an_upsert_of_finance_under_its_rec_id() -> None:
    printed = change_json(one(row()))
    assert (printed["operation"], printed["source"], printed["entity"]) == ("upsert", "finance", "trvexptrans")
    assert (printed["id"], printed["at"], printed["version"], printed["company"]) == ("5637200123", AT, 4242, "USPM")
    assert printed["columns"]["amountcurr"] == "77.5"
    assert not {"Id", "SinkModifiedOn", "IsDelete", "PartitionId"} & set(printed["columns"])


@pytest.mark.requirement("R6")
def test_columns_in_small_letters_are_those_of_the_map() -> None:
    entity_map = MAPS.find("trvexptrans")
    assert entity_map is MAPS.entities["TrvExpTrans"]
    change = one(row())
    record = first_record(entity_map, record_key(entity_map, change.id), change)
    assert record.values["TransDate"] == "2025-01-08"
    assert record.values["ProjTransId"] == "EX-77"
    assert record.values["ApprovalStatus"] == 6


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("headers", [(), [(TABLE.upper(), b"TrvExpTrans")]])
def test_the_table_is_named_by_a_header_or_by_a_member(headers: Any) -> None:
    assert one(row(tablename="TrvExpTrans"), headers).entity == "TrvExpTrans"


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("name", sorted(ENVELOPES))
def test_the_header_holds_for_every_row_of_a_batch_and_inside_of_an_envelope(name: str) -> None:
    facts = decode(ENVELOPES[name](encoded(row())), NAMED)
    assert {fact.entity for fact in facts if isinstance(fact, Change)} == {"trvexptrans"}


TIMES: dict[str, tuple[Json, str]] = {
    "its own": ({}, AT),
    "another name": ({"modifieddatetime": MISSING, "modifiedon": "2025-01-08T09:41:03"}, "2025-01-08T09:41:03Z"),
    "with a blank": ({"modifieddatetime": "2025-01-08 09:41:02.500000"}, "2025-01-08T09:41:02.500000Z"),
    "none in Finance": ({"modifieddatetime": "1900-01-01T00:00:00Z"}, "2025-01-08T09:45:00Z"),
    "that of the export": ({"modifieddatetime": MISSING}, "2025-01-08T09:45:00Z"),
    "that of the export in the afternoon": (
        {"modifieddatetime": None, "SinkModifiedOn": "12/31/2024 12:05:00 PM"},
        "2024-12-31T12:05:00Z",
    ),
}


@pytest.mark.requirement("R3")
@pytest.mark.parametrize(("members", "at"), TIMES.values(), ids=TIMES.keys())
def test_the_time_is_the_rows_own_else_that_of_the_export(members: Json, at: str) -> None:
    assert change_json(one(row(**members)))["at"] == at


@pytest.mark.requirement("R3", "R12")
@pytest.mark.parametrize("told", [True, "True", "true", 1, "1", 1.0])
def test_a_deleted_row_is_gone_as_of_the_export_and_may_have_its_id_alone(told: Any) -> None:
    fact = one(row(IsDelete=told))
    assert (fact.operation, fact.columns, change_json(fact)["at"]) == ("delete", {}, "2025-01-08T09:45:00Z")
    blank = {name: None for name in row() if name not in ("Id", "SinkModifiedOn")}
    fact = one({**row(), **blank, "IsDelete": told})
    assert (fact.operation, fact.source, fact.id) == ("delete", "finance", "5637200123")


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("told", [None, "", False, "False", 0, 0.0, MISSING])
def test_a_row_that_is_not_deleted_is_there(told: Any) -> None:
    assert one(row(IsDelete=told)).operation == "upsert"


@pytest.mark.parametrize("told", ["Y", "deleted", 2, -1])
def test_whether_a_row_was_deleted_is_never_guessed(told: Any) -> None:
    with pytest.raises(Rejected, match=r"IsDelete is .* which says neither true nor false"):
        one(row(IsDelete=told))


@pytest.mark.requirement("R8")
@pytest.mark.parametrize("written", [5637200123, 5637200123.0, "5637200123.0", "05637200123", "5637200123.00"])
def test_a_rec_id_is_one_row_however_a_tool_writes_it(written: Any) -> None:
    assert one(row(recid=written)).id == "5637200123"


@pytest.mark.requirement("R7", "R8")
@pytest.mark.parametrize("written", ["5.637200123E9", "5637200123.5", "5637 200123", "R1", "-5"])
def test_a_rec_id_that_is_no_whole_number_is_rejected(written: Any) -> None:
    with pytest.raises(Rejected, match="is no whole number"):
        one(row(recid=written))


@pytest.mark.requirement("R2")
def test_a_row_of_dataverse_is_known_by_its_guid() -> None:
    event = {"Id": ROW.upper(), "SinkModifiedOn": "1/8/2025 9:45:00 AM", "modifiedon": AT, "msdyn_amount": 5.10}
    fact = one({**event, "IsDelete": None, "versionnumber": 7}, [(TABLE, b"msdyn_actual")])
    assert (fact.source, fact.id, fact.company, fact.evidence.version) == ("dataverse", ROW, None, 7)


@pytest.mark.requirement("R3")
def test_a_row_of_a_virtual_table_is_one_of_finance() -> None:
    event = {"Id": "00004951-0000-0000-5e1a-005001000000", "SinkModifiedOn": "1/8/2025 9:45:00 AM"}
    fact = one({**event, "mserp_dataareaid": "uspm"}, [(TABLE, b"mserp_projcdsactualsimportentity")])
    assert (fact.source, fact.id, fact.company) == ("finance", "5637151326", "USPM")


REASONS: dict[str, tuple[Json, Any, str]] = {
    "no table": (row(), (), "Synapse Link or Fabric Link exports it .recid '5637200123'., which does not name its tab"),
    "no row": (row(recid=0, Id=ROW), NAMED, "the row of trvexptrans names no row"),
    "no row of Dataverse": (row(recid=MISSING, Id=NONE), NAMED, "names no row"),
    "no time": (row(modifieddatetime=None, SinkModifiedOn="soon"), NAMED, "cannot be ordered"),
}


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(("event", "headers", "reason"), REASONS.values(), ids=REASONS.keys())
def test_a_row_that_cannot_be_placed_is_rejected_with_what_is_missing(event: Json, headers: Any, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        decode(encoded(event), headers)


@pytest.mark.requirement("R9")
def test_the_header_of_a_poller_says_the_time_of_a_row_without_any() -> None:
    fact = one(row(modifieddatetime=None, SinkModifiedOn=None), [*NAMED, (ANSWERED, AT.encode())])
    assert change_json(fact)["at"] == AT


@pytest.mark.requirement("R7")
def test_rows_of_a_batch_are_taken_though_others_are_not() -> None:
    with pytest.raises(PartlyRejected, match="event 2 of 2: the row of trvexptrans names no row") as part:
        decode(encoded([row(), row(recid=0, Id=ROW)]), NAMED)
    assert len(part.value.facts) == 1
