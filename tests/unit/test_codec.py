"""Decoding of CloudEvents 1.0 (R4), and the rejection of anything else with a reason (R7)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chains.records import merge, new_record, record_key
from engine.errors import Rejected
from engine.events.facts import Change, Evidence, Heartbeat, ProcessMessage
from streams.codec import StaticLocation, change_json, decode
from streams.codec.environments import Environments
from tests.support.story import shipped_maps

GUID = "6e21a0c8-9f0b-ef11-9f89-6045bda11c3f"
AT = 1_736_329_044_000_000  # 2025-01-08T09:37:24Z

ROW: dict[str, Any] = {
    "specversion": "1.0",
    "id": "9f",
    "source": "/finance/contoso",
    "type": "tieout.row.changed",
    "time": "2025-01-08T09:37:24Z",
    "data": {
        "entity": "TrvExpTrans",
        "id": "5637144576",
        "operation": "upsert",
        "version": 12,
        "company": "USPM",
        "columns": {"ProjTransId": "000123", "AmountCurr": "100.00", "ExchangeCode": "USD", "TransDate": "2025-01-08"},
    },
}
PROCESS: dict[str, Any] = {
    "specversion": "1.0",
    "id": "m1",
    "source": "/finance/contoso",
    "type": "tieout.process.message",
    "time": "2025-01-08T09:37:24Z",
    "data": {
        "process": "import-from-staging",
        "run": "r-7",
        "company": "uspm",
        "scope": ["USPM-041", "USPM-042"],
        "subject": GUID,
        "text": "Unable to import.",
    },
}
COMPLETE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "h1",
    "source": "/dataverse/contoso",
    "type": "tieout.source.complete",
    "time": "2025-01-08T09:37:24Z",
    "data": {"until": "2025-01-08T10:30:00+01:00"},
}
MISSING = object()


def changed(event: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The event with one member set, or taken away."""
    above, _, last = path.rpartition(".")
    inside = event if not above else changed(event[above], last, value)
    if above:
        return {**event, above: inside}
    return {name: found for name, found in {**event, last: value}.items() if found is not MISSING}


def row(path: str = "id", value: Any = "9f") -> Change:
    (fact,) = decode(json.dumps(changed(ROW, path, value)).encode())
    assert isinstance(fact, Change)
    return fact


# --- what is understood -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("R4")
def test_a_row_says_what_changed_and_how_it_ranks() -> None:
    value = json.dumps(ROW).encode()
    (fact,) = decode(value, location=StaticLocation("tieout.finance.changes", 3, 42))
    assert isinstance(fact, Change)
    assert (fact.operation, fact.source, fact.entity, fact.id) == ("upsert", "finance", "TrvExpTrans", "5637144576")
    assert fact.company == "USPM"
    assert fact.columns.items() >= ROW["data"]["columns"].items()
    assert (fact.evidence.at, fact.evidence.version) == (AT, 12)
    assert (fact.evidence.source, fact.evidence.event) == ("/finance/contoso", "9f")
    assert (fact.evidence.topic, fact.evidence.partition, fact.evidence.offset) == ("tieout.finance.changes", 3, 42)


@pytest.mark.requirement("R4")
def test_a_delete_needs_no_columns() -> None:
    fact = row("data", {"entity": "TrvExpTrans", "id": "5637144576", "operation": "delete"})
    assert (fact.operation, fact.columns, fact.company) == ("delete", {}, None)


def binary(event: dict[str, Any], prefix: str = "ce_") -> tuple[bytes, list[tuple[str, bytes]]]:
    headers = [(f"{prefix}{name}", str(value).encode()) for name, value in event.items() if name != "data"]
    return json.dumps(event["data"]).encode(), headers


@pytest.mark.requirement("R4")
@pytest.mark.parametrize("event", [ROW, PROCESS, COMPLETE], ids=["row", "process message", "heartbeat"])
@pytest.mark.parametrize("prefix", ["ce_", "ce-", "CE_"])
def test_the_binary_mode_says_the_same_as_the_structured(event: dict[str, Any], prefix: str) -> None:
    (structured,) = decode(json.dumps(event).encode())
    value, headers = binary(event, prefix)
    (fact,) = decode(value, [*headers, ("content-type", b"application/json")])
    assert type(fact) is type(structured)
    for member in (name for name in fact.__struct_fields__ if name != "evidence"):
        assert getattr(fact, member) == getattr(structured, member)
    assert (fact.evidence.at, fact.evidence.version) == (structured.evidence.at, structured.evidence.version)


@pytest.mark.requirement("R4")
def test_in_binary_mode_the_headers_are_part_of_what_is_digested() -> None:
    value, headers = binary(ROW)
    other = [(name, b"another" if name == "ce_id" else content) for name, content in headers]

    def digest(with_headers: list[tuple[str, bytes]]) -> bytes:
        return decode(value, with_headers)[0].evidence.digest

    assert digest(headers) == digest(list(reversed(headers)))
    assert digest(headers) != digest(other)
    assert digest(headers) == digest([*headers, ("traceparent", b"00-1")])


@pytest.mark.requirement("R4")
@pytest.mark.parametrize("stage", ["started", "message", "finished", "failed"])
def test_a_process_message_says_its_stage_run_scope_and_text(stage: str) -> None:
    (fact,) = decode(json.dumps({**PROCESS, "type": f"tieout.process.{stage}"}).encode())
    assert isinstance(fact, ProcessMessage)
    assert (fact.stage, fact.process, fact.run) == (stage, "import-from-staging", "r-7")
    assert (fact.company, fact.scope) == ("USPM", ("USPM-041", "USPM-042"))
    assert (fact.subject, fact.text) == (GUID, "Unable to import.")


@pytest.mark.requirement("R4")
def test_a_heartbeat_says_up_to_when_everything_was_sent() -> None:
    (fact,) = decode(json.dumps(COMPLETE).encode())
    assert isinstance(fact, Heartbeat)
    assert (fact.source, fact.until) == ("dataverse", 1_736_328_600_000_000)


@pytest.mark.requirement("R4")
def test_members_that_are_not_known_are_left_alone() -> None:
    event = {**ROW, "subject": "x", "datacontenttype": "application/json", "traceparent": 5, "dataschema": None}
    assert decode(json.dumps(event).encode())[0].evidence.at == AT


@pytest.mark.requirement("R8")
@pytest.mark.parametrize(
    ("written", "id_"),
    [
        (f'"{{{GUID.upper()}}}"', GUID),
        (f'"{GUID}"', GUID),
        ("5637144576", "5637144576"),
        ('" 5637144576 "', "5637144576"),
        ('"USPM|000123"', "USPM|000123"),
    ],
    ids=["a guid in braces", "a guid", "a number", "a number as text", "key fields"],
)
def test_a_row_has_one_id_however_it_is_spelled(written: str, id_: str) -> None:
    value = json.dumps(ROW).replace('"5637144576"', written)
    (fact,) = decode(value.encode())
    assert isinstance(fact, Change)
    assert fact.id == id_


@pytest.mark.requirement("R8")
@pytest.mark.parametrize(
    "number",
    ["100.00", "0.1", "0.30000000000000004", "1e2", "-1.50", "123456789012345678901234567890.12", "1E-7", "2.0"],
)
def test_a_number_with_a_fraction_keeps_its_digits(number: str) -> None:
    value = json.dumps(ROW).replace('"100.00"', number)
    (fact,) = decode(value.encode())
    assert isinstance(fact, Change)
    assert fact.columns["AmountCurr"] == number
    body, headers = binary(ROW)
    (fact,) = decode(body.replace(b'"100.00"', number.encode()), headers)
    assert isinstance(fact, Change)
    assert fact.columns["AmountCurr"] == number


@pytest.mark.requirement("R8")
@pytest.mark.parametrize("number", [0, -1, 2**53 + 1, 2**63 - 1, 2**64 + 1, 10**30])
def test_a_whole_number_stays_one_whatever_its_size(number: int) -> None:
    assert row("data.columns", {"RecId": number}).columns["RecId"] == number


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(
    "value",
    [None, True, "text", [], [1, "two", {"three": None}], {"entity": "x", "id": "y", "name": None}, {"deep": [{}]}],
)
def test_a_value_of_an_unknown_kind_rejects_nothing(value: Any) -> None:
    assert row("data.columns", {"ProjId": value}).columns["ProjId"] == value


@pytest.mark.parametrize(
    ("company", "columns"),
    [(MISSING, {}), ("uspm", {"@company": "USPM"}), (None, {"@company": None}), ("  ", {"@company": None})],
    ids=["missing: unchanged", "a code, upper case", "null: none", "blank: none"],
)
@pytest.mark.requirement("R4", "R12")
def test_the_company_of_an_event_is_a_column_like_any_other(company: Any, columns: dict[str, Any]) -> None:
    event = changed(changed(ROW, "data.columns", {}), "data.company", company)
    (fact,) = decode(json.dumps(event).encode())
    assert isinstance(fact, Change)
    assert fact.columns == columns


@pytest.mark.requirement("R12")
@pytest.mark.parametrize(
    ("columns", "time", "at"),
    [
        ({}, "2025-01-08T10:37:24+01:00", AT),
        ({"modifiedon": "2025-01-08T09:37:24Z"}, "2025-01-09T00:00:00Z", AT),
        ({"modifiedon": "2025-01-08T09:37:24Z"}, MISSING, AT),
        ({"modifiedon": "soon"}, "2025-01-08T09:37:24Z", AT),
        ({"modifiedon": None}, "2025-01-08T09:37:24Z", AT),
        ({}, "2025-01-08T09:37:24.000001Z", AT + 1),
    ],
    ids=["the event's", "the row's before it", "the row's alone", "an unreadable one", "none", "microseconds"],
)
def test_an_event_ranks_by_the_rows_own_time_else_by_that_of_the_operation(columns: Any, time: Any, at: int) -> None:
    event = changed(changed(ROW, "data.columns", columns), "time", time)
    assert decode(json.dumps(event).encode())[0].evidence.at == at


@pytest.mark.requirement("R12")
def test_a_row_without_a_version_ranks_as_version_0() -> None:
    assert row("data.version", MISSING).evidence.version == 0
    assert row("data.version", None).evidence.version == 0


def test_the_digest_is_that_of_the_bytes() -> None:
    one, same, other = (decode(json.dumps(event).encode())[0].evidence.digest for event in (ROW, ROW, PROCESS))
    assert one == same != other


def test_of_a_member_told_twice_the_last_counts() -> None:
    value = json.dumps(ROW).replace('"AmountCurr": "100.00"', '"AmountCurr": "1.00", "AmountCurr": "2.00"')
    (fact,) = decode(value.encode())
    assert isinstance(fact, Change)
    assert fact.columns["AmountCurr"] == "2.00"


# --- what is rejected, and why ----------------------------------------------------------------------------------------

# The change of a valid event, and the text that the reason must contain.
REASONS: dict[str, tuple[dict[str, Any], str]] = {
    "no specversion": (changed(ROW, "specversion", MISSING), "no member specversion"),
    "a specversion that is no text": (changed(ROW, "specversion", 1), "$.specversion"),
    "CloudEvents of another version": (changed(ROW, "specversion", "0.3"), "'0.3' at $.specversion"),
    "no type": (changed(ROW, "type", MISSING), "unknown event type None"),
    "an unknown type": (changed(ROW, "type", "tieout.row.moved"), "unknown event type 'tieout.row.moved' at $.type"),
    "a type that is no text": (changed(ROW, "type", ["tieout.row.changed"]), "unknown event type"),
    "no id": (changed(ROW, "id", MISSING), "`id`"),
    "an empty id": (changed(ROW, "id", ""), "the event id at $.id"),
    "an id that is too long": (changed(ROW, "id", "x" * 201), "the event id at $.id"),
    "an id with a zero character": (changed(ROW, "id", "a\0b"), "the event id at $.id"),
    "no source": (changed(ROW, "source", MISSING), "`source`"),
    "a source that is no path": (changed(ROW, "source", "finance/contoso"), "'finance/contoso' at $.source"),
    "a source of neither system": (changed(ROW, "source", "/sap/contoso"), "'/sap/contoso' at $.source"),
    "a source without environment": (changed(ROW, "source", "/finance/"), "'/finance/' at $.source"),
    "no time": (changed(ROW, "time", MISSING), "cannot be ordered: there is no member time"),
    "a time that is none": (changed(ROW, "time", "yesterday"), "cannot be ordered: 'yesterday' at $.time"),
    "a time without a zone": (changed(ROW, "time", "2025-01-08T09:37:24"), "cannot be ordered"),
    "no data": (changed(ROW, "data", MISSING), "`data`"),
    "data that is no object": (changed(ROW, "data", []), "$.data"),
    "no entity": (changed(ROW, "data.entity", MISSING), "`entity`"),
    "an empty entity": (changed(ROW, "data.entity", ""), "the entity at $.data.entity"),
    "an entity that is too long": (changed(ROW, "data.entity", "x" * 201), "the entity at $.data.entity"),
    "no row id": (changed(ROW, "data.id", MISSING), "`id`"),
    "an empty row id": (changed(ROW, "data.id", "  "), "the row id at $.data.id"),
    "a row id that is too long": (changed(ROW, "data.id", "x" * 201), "the row id at $.data.id"),
    "a row id with a zero character": (changed(ROW, "data.id", "a\0b"), "the row id at $.data.id"),
    "a row id with a fraction": (changed(ROW, "data.id", 1.5), "$.data.id"),
    "no operation": (changed(ROW, "data.operation", MISSING), "`operation`"),
    "an unknown operation": (changed(ROW, "data.operation", "merge"), "$.data.operation"),
    "columns that are no object": (changed(ROW, "data.columns", []), "$.data.columns"),
    "a version that is no number": (changed(ROW, "data.version", "12"), "$.data.version"),
    "a version beyond 64 bits": (changed(ROW, "data.version", 2**63), "$.data.version"),
    "a company that is no text": (changed(ROW, "data.company", 31), "$.data.company"),
    "a heartbeat without a time of its own": (changed(COMPLETE, "time", MISSING), "cannot be ordered"),
    "a heartbeat up to no time": (changed(COMPLETE, "data.until", "now"), "'now' at $.data.until"),
    "a heartbeat without until": (changed(COMPLETE, "data", {}), "`until`"),
    "an unknown process": (changed(PROCESS, "data.process", "payroll"), "unknown process 'payroll' at $.data.process"),
    "a process message without a run": (changed(PROCESS, "data.run", MISSING), "`run`"),
    "a process message without a time": (changed(PROCESS, "time", MISSING), "cannot be ordered"),
}


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(("event", "reason"), REASONS.values(), ids=REASONS.keys())
def test_what_cannot_be_understood_or_ordered_is_rejected_with_the_reason(event: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected) as rejected:
        decode(json.dumps(event).encode())
    assert reason in str(rejected.value)


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no body"),
        (b"", "no body"),
        (b"\xff\xfe", "not JSON"),
        (b"\x00\x01\x02", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"specversion": "1.0"', "not JSON"),
        (b'{"specversion": NaN}', "not JSON"),
        (b"[]", "this is an array"),
        (b'"text"', "this is a text"),
        (b"true", "this is a truth value"),
        (b"17", "this is a number"),
        (b"null", "this is null"),
        (b"{}", "no CloudEvent"),
        (b'{"MessageName": "Update"}', "about no table"),
        (json.dumps(ROW).encode("utf-16"), "not JSON"),
        (json.dumps(ROW).encode()[:-1], "not JSON"),
        (json.dumps(ROW).encode() + b"{}", "not JSON"),
    ],
)
def test_bytes_that_are_no_event_are_rejected_with_the_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(Rejected) as rejected:
        decode(value)
    assert reason in str(rejected.value)


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    "value",
    [
        b"[",
        b'"',
        b'{"type": "tieout.row.changed", "specversion": 5, oops',
        b'{"type": "tieout.row.changed", "specversion": 5, "x": "\xff"}',
        b'{"type": "tieout.row.changed", "specversion": 5, "x": ' + b"[" * 100_000,
        json.dumps(ROW).replace('"5637144576"', "1" * 5000).encode(),
        json.dumps(ROW).replace('"100.00"', "1" * 5000).encode(),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        json.dumps(ROW).replace('"100.00"', "[" * 100_000 + "]" * 100_000).encode(),
        json.dumps(ROW).replace('"9f"', '"\\ud800"').encode(),
    ],
    ids=[
        "an array cut short",
        "a text cut short",
        "a wrong member before broken JSON",
        "a wrong member before broken text",
        "a wrong member before endless nesting",
        "a row id of 5,000 digits",
        "a number of 5,000 digits",
        "nested arrays",
        "nested objects",
        "a value nested too deep",
        "half a character",
    ],
)
def test_broken_bytes_are_rejected_however_they_are_broken(value: bytes) -> None:
    with pytest.raises(Rejected):
        decode(value)


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    ("header", "content", "reason"),
    [
        ("ce_type", b"tieout.row.moved", "unknown event type 'tieout.row.moved' in the header ce_type"),
        ("ce_id", None, "`id`"),
        ("ce_source", b"/sap/contoso", "'/sap/contoso'"),
        ("ce_time", b"\xff", "cannot be ordered"),
        ("ce_specversion", b"2.0", "'2.0'"),
    ],
)
def test_a_binary_event_with_a_wrong_header_is_rejected(header: str, content: bytes | None, reason: str) -> None:
    value, headers = binary(ROW)
    kept = [(name, found) for name, found in headers if name != header]
    with pytest.raises(Rejected) as rejected:
        decode(value, [*kept, (header, content)] if content is not None else kept)
    assert reason in str(rejected.value)


@pytest.mark.requirement("R7")
@pytest.mark.parametrize("value", [b"", b"[", b"5", b"[]", b"\xff", b"[" * 100_000])
def test_a_binary_event_with_a_wrong_body_is_rejected(value: bytes) -> None:
    with pytest.raises(Rejected):
        decode(value, binary(ROW)[1])


@pytest.mark.requirement("R7", "R85")
def test_an_environment_that_is_not_configured_is_rejected_by_name() -> None:
    value = json.dumps(ROW).encode()
    assert decode(value, environments=Environments(("contoso",))) == decode(value, environments=None)
    with pytest.raises(Rejected, match=r"'contoso' at \$\.source is none of this installation's \(fabrikam\)"):
        decode(value, environments=Environments(("fabrikam",)))


# --- arbitrary input --------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=12,
)
PATHS = st.sampled_from(
    ["specversion", "id", "source", "type", "time", "data"]
    + [f"data.{member}" for member in (*ROW["data"], *PROCESS["data"], "until")]
)
MAPS = shipped_maps()


def decoded(value: bytes | None, headers: list[tuple[str, bytes]]) -> Change | Heartbeat | ProcessMessage | None:
    try:
        (fact,) = decode(value, headers)
    except Rejected:
        return None
    assert isinstance(fact.evidence, Evidence)
    return fact


@pytest.mark.requirement("R7")
@given(st.binary(max_size=80) | st.text(alphabet='{}[]",:01e.-tfn \\u"', max_size=40).map(str.encode))
def test_arbitrary_bytes_are_decoded_or_rejected(value: bytes) -> None:
    decoded(value, [])
    decoded(value, binary(ROW)[1])


@pytest.mark.requirement("R7")
@given(JSON)
def test_arbitrary_json_is_decoded_or_rejected(content: Any) -> None:
    value = json.dumps(content).encode()
    decoded(value, [])
    decoded(value, binary(ROW)[1])


@pytest.mark.requirement("R7")
@given(st.sampled_from([ROW, PROCESS, COMPLETE]), PATHS, JSON | st.just(MISSING))
def test_an_event_with_one_arbitrary_member_is_decoded_or_rejected(
    event: dict[str, Any], path: str, value: Any
) -> None:
    decoded(json.dumps(changed(event, path, value)).encode(), [])


@pytest.mark.requirement("R7")
@given(
    st.lists(
        st.tuples(st.sampled_from(["ce_id", "ce_type", "ce_time", "ce_source", "ce-type", "x"]), st.binary(max_size=30))
    )
)
def test_arbitrary_headers_are_decoded_or_rejected(headers: list[tuple[str, bytes]]) -> None:
    decoded(json.dumps(ROW["data"]).encode(), headers)


@pytest.mark.requirement("R2", "R7")
@given(st.sampled_from(sorted(MAPS.entities)), st.data())
def test_whatever_a_column_holds_the_row_can_be_merged_and_shown(entity: str, data: st.DataObject) -> None:
    entity_map = MAPS.entities[entity]
    names = st.sampled_from(sorted(entity_map.columns)) | st.text(max_size=8)
    columns = data.draw(st.dictionaries(names, JSON, max_size=6))
    event = changed(changed(ROW, "data.entity", entity), "data.columns", columns)
    fact = decoded(json.dumps(event).encode(), [])
    assert isinstance(fact, Change)
    record = merge(new_record(entity_map, record_key(entity_map, fact.id)), fact, entity_map)
    assert record.exists
    assert json.dumps(change_json(fact))


# --- what `tieout decode` prints --------------------------------------------------------------------------------------


@pytest.mark.requirement("R4")
def test_a_change_is_printed_under_the_fixed_names() -> None:
    fact = row(
        "data.columns", {"AmountCurr": "100.00", "Project": {"entity": "msdyn_project", "id": "{" + GUID.upper() + "}"}}
    )
    assert change_json(fact) == {
        "operation": "upsert",
        "source": "finance",
        "entity": "TrvExpTrans",
        "id": "5637144576",
        "at": "2025-01-08T09:37:24Z",
        "event_id": "9f",
        "correlation_id": None,
        "version": 12,
        "company": "USPM",
        "columns": {"AmountCurr": "100.00", "Project": {"entity": "msdyn_project", "id": GUID}},
        "truncated": False,
    }
