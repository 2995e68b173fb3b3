"""For any input the codecs return changes or reject it, in time proportional to the bytes (R2, R7)."""

import base64
import copy
import functools
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chains.records import merge, new_record, record_key
from engine.errors import Rejected
from engine.events.facts import Change, Evidence
from streams.codec import ANSWERED, change_json, decode
from tests.support.envelopes import ENVELOPES
from tests.support.payloads import EXAMPLES, context, data_event, encoded, target
from tests.support.story import shipped_maps

pytestmark = pytest.mark.requirement("R2", "R7")

MAPS = shipped_maps()
PAYLOADS = [json.loads(path.read_bytes()) for path in sorted(EXAMPLES.glob("*.json"))]
TEXTS = st.sampled_from(
    [
        "",
        "Target",
        "/Date(1)/",
        "/Date(-99999999999999)/",
        "/Date(1+9999)/",
        "0",
        "-",
        "\0",
        "mserp_x",
        "none",
        "é" * 300,
    ]
) | st.text(max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
NAME_COLUMNS = st.sampled_from(
    """
    __type __value Value Id Key key value Attributes Entities Ids LogicalName MessageName @odata.etag specversion
    Body ContentData EnqueuedTimeUtc body data eventType payload schema
    """.split()
) | st.text(max_size=6)
JSON = st.recursive(
    SCALARS,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(NAME_COLUMNS, inside, max_size=4),
    max_leaves=10,
)
ANSWERS = st.sampled_from([b"2025-01-09T12:00:00Z", b"\xff", b""]).map(lambda content: [(ANSWERED, content)])
HEADERS: st.SearchStrategy[list[tuple[str, bytes]]] = st.just([]) | ANSWERS


def taken(value: bytes, headers: Any = ()) -> None:
    """Decode, and use what comes out as the projector and `tieout decode` would."""
    try:
        facts = decode(value, headers)
    except Rejected as reason:
        facts = getattr(reason, "facts", [])
    for fact in facts:
        assert isinstance(fact.evidence, Evidence)
        if isinstance(fact, Change):
            assert json.loads(json.dumps(change_json(fact)))["operation"] == fact.operation
            entity_map = MAPS.find(fact.entity)
            if entity_map is not None and fact.operation != "notify":
                merge(new_record(entity_map, record_key(entity_map, fact.id)), fact, entity_map)


@given(JSON, HEADERS)
def test_any_json_is_taken_or_rejected(content: Any, headers: Any) -> None:
    taken(encoded(content), headers)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:01e.-tfn \\u"@', max_size=60).map(str.encode))
def test_any_bytes_are_taken_or_rejected(value: bytes) -> None:
    taken(value)
    taken(b"[" + value + b"]")
    taken(b'{"MessageName":' + value + b"}")


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for name, value in inside for place in places(value, (*path, name)))]


PLACES = [(payload, place) for payload in PAYLOADS for place in places(payload) if place]


@given(st.sampled_from(PLACES), JSON | st.just(...), HEADERS)
def test_an_example_bent_at_any_place_is_taken_or_rejected(
    bent: tuple[Any, tuple[Any, ...]], value: Any, headers: Any
) -> None:
    payload, (*path, last) = copy.deepcopy(bent[0]), bent[1]
    inside = payload
    for step in path:
        inside = inside[step]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    taken(encoded(payload), headers)


@given(st.sampled_from(PAYLOADS), st.data())
def test_an_example_with_bytes_lost_or_changed_is_taken_or_rejected(payload: Any, data: st.DataObject) -> None:
    value = bytearray(encoded(payload))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=3))
    taken(bytes(value))


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=6), st.sampled_from([context, data_event]))
def test_a_value_of_any_kind_rejects_nothing(columns: dict[str, Any], event: Any) -> None:
    (fact,) = decode(encoded(event(columns)))
    assert isinstance(fact, Change)
    assert set(columns) <= set(fact.columns)


@given(st.dictionaries(st.text(min_size=1, max_size=12), JSON, max_size=4))
def test_further_members_and_parameters_change_nothing(members: dict[str, Any]) -> None:
    event = context({"a": 1})
    known = {*event, "specversion"}
    beside = [{"key": f"x{name}", "value": value} for name, value in members.items()]
    further = {name: value for name, value in members.items() if name not in known}
    (plain,) = decode(encoded(event))
    (fact,) = decode(encoded({**event, **further, "InputParameters": [*beside, *event["InputParameters"]]}))
    assert isinstance(fact, Change)
    assert isinstance(plain, Change)
    assert change_json(fact) == change_json(plain)


@given(st.sampled_from(PAYLOADS), st.lists(st.sampled_from(sorted(ENVELOPES)), max_size=3), HEADERS)
def test_an_example_in_some_envelopes_is_taken_or_rejected(payload: Any, names: list[str], headers: Any) -> None:
    value = encoded(payload)
    for name in names:
        value = ENVELOPES[name](value)
    taken(value, headers)


@given(JSON, st.sampled_from(sorted(ENVELOPES)))
def test_any_json_in_an_envelope_is_taken_or_rejected(content: Any, name: str) -> None:
    taken(ENVELOPES[name](encoded(content)))


HARD = {
    "nested arrays": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "nested in a value": encoded(context({"a": 1})).replace(
        b'"value": 1', b'"value": ' + b"[" * 50_000 + b"]" * 50_000
    ),
    "nested in a neighbour": b'{"ParentContext": ' + b"[" * 50_000 + b"]" * 50_000 + b', "MessageName": "Update"}',
    "nested in a page": b'{"@odata.context": "x", "value": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a number of a hundred thousand digits": encoded(context({"a": 1})).replace(b"1736329083000", b"9" * 100_000),
    "a value of a hundred thousand digits": encoded(context({"a": 7})).replace(b": 7", b": " + b"7" * 100_000),
    "a fraction of a hundred thousand digits": encoded(context({"a": 7})).replace(b": 7", b": 0." + b"7" * 100_000),
    "many columns": encoded(context({f"c{number}": number for number in range(50_000)})),
    "many parameters": encoded(context(InputParameters=[{"key": "Target", "value": target({})}] * 5_000)),
    "many rows": encoded(
        context(MessageName="CreateMultiple", InputParameters=[{"key": "Targets", "value": [target({})] * 3_000}])
    ),
    "many rows that are none": encoded(
        context(MessageName="UpdateMultiple", InputParameters=[{"key": "Targets", "value": [5] * 50_000}])
    ),
    "nested in a wrapped scalar": encoded(context({"a": {"__type": "x", "__value": 1}})).replace(
        b'"__value": 1', b'"__value": ' + b'{"__value":' * 50_000 + b"1" + b"}" * 50_000
    ),
    "many lines": b"\n".join([encoded(context({"a": 1}))] * 2_000),
    "many lines that are none": b'{"a": 1}\n' * 50_000,
    "envelopes in envelopes": b'{"body":' * 50_000 + b"{}" + b"}" * 50_000,
    "base64 of base64": functools.reduce(lambda value, _: b'"' + base64.b64encode(value) + b'"', range(20), b"x" * 999),
    "arrays in texts": b"[" + b",".join([encoded({"body": "[{},{},{},{}]"})] * 10_000) + b"]",
    "a long batch": b"[" + b",".join([b"{}"] * 50_000) + b"]",
    "a long text": encoded(context({"a": "/Date(" + "1" * 500_000})),
    "a long name": encoded(context({}, PrimaryEntityName="x" * 500_000)),
    "a long address": encoded({"@odata.context": "https://" + "/" * 500_000, "value": []}),
}


@pytest.mark.parametrize("value", HARD.values(), ids=HARD.keys())
def test_hard_input_takes_no_longer_than_its_size_deserves(value: bytes) -> None:
    started = time.process_time()
    taken(value)
    # A megabyte of good input takes some 20 ms; a quadratic step over these would take minutes.
    assert time.process_time() - started < 3
