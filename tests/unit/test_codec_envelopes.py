"""Events inside of what connectors put around them: taken off once, then as if they had come alone (R1 to R4, R7)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import Rejected
from engine.events.facts import Change
from streams.codec import ANSWERED, PartlyRejected, decode
from tests.support.envelopes import ENVELOPES
from tests.support.payloads import ACTUAL, DATAVERSE, business, context, data_event, encoded, page
from tests.unit.test_codec_families import COMPLETE, ROW, told

pytestmark = pytest.mark.requirement("R91")

Envelope = Callable[[bytes], bytes]
BATCHES = ("JSON lines", "an array")
EVENTS: dict[str, bytes] = {
    "context": encoded(context({"msdyn_description": "Café ☕"})).replace(b"\\u00e9", "é".encode()),
    "data event": encoded(data_event()),
    "business event": encoded(business()),
    "CloudEvent": encoded(ROW),
    "heartbeat": encoded(COMPLETE),
    "page": encoded(page(DATAVERSE + "msdyn_actuals", ACTUAL, ACTUAL)),
}
HEADERS = [(ANSWERED, b"2025-01-09T12:00:00Z")]
STRANGE = encoded({"anything": 1})


@pytest.mark.requirement("R1", "R2", "R3", "R4")
@pytest.mark.parametrize("wrapped", ENVELOPES.values(), ids=ENVELOPES.keys())
@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_inside_of_an_envelope_is_the_one_that_came_alone(event: bytes, wrapped: Envelope) -> None:
    alone = decode(event, HEADERS)
    facts = decode(wrapped(event), HEADERS)
    assert facts[: len(alone)] == alone
    assert len(facts) == len(alone) * (2 if wrapped is ENVELOPES["JSON lines"] else 1)


@pytest.mark.parametrize("name", ["Event Hubs Capture", "Service Bus of Logic Apps"])
def test_a_text_may_begin_with_a_byte_order_mark(name: str) -> None:
    event = EVENTS["business event"]
    assert decode(ENVELOPES[name](b"\xef\xbb\xbf" + event)) == decode(event)


@pytest.mark.requirement("R4")
def test_the_body_of_a_binary_cloud_event_of_another_type_is_the_event() -> None:
    headers = [("ce_type", b"Contoso"), ("ce_id", b"1"), ("ce_source", b"/x"), ("ce_specversion", b"1.0")]
    assert decode(EVENTS["context"], headers) == decode(EVENTS["context"])
    with pytest.raises(Rejected, match="unknown event type 'Contoso' in the header ce_type, and in its data: not an"):
        decode(STRANGE, headers)


@pytest.mark.requirement("R7")
@pytest.mark.parametrize("outer", ENVELOPES.values(), ids=ENVELOPES.keys())
@pytest.mark.parametrize("inner", ["Event Hubs Capture", "Kafka Connect, a text", "Event Grid"])
def test_envelopes_are_taken_off_once(inner: str, outer: Envelope) -> None:
    value = outer(ENVELOPES[inner](EVENTS["business event"]))
    if outer in (ENVELOPES[name] for name in BATCHES):
        return  # A batch is no envelope: what its events are in may be taken off.
    with pytest.raises(Rejected, match=r"envelopes are taken off once|there is no event in it|neither JSON nor base64"):
        decode(value)


@pytest.mark.requirement("R7")
@pytest.mark.parametrize("wrapped", ENVELOPES.values(), ids=ENVELOPES.keys())
def test_what_is_inside_and_no_event_is_rejected_with_where_it_was(wrapped: Envelope) -> None:
    with pytest.raises(Rejected) as rejected:
        decode(wrapped(STRANGE))
    reason = str(rejected.value)
    assert "not an event this version knows" in reason
    assert reason.startswith(("in a", "unknown event type", "event 1 of 1", "line 1 of 2"))


@pytest.mark.requirement("R7")
def test_of_a_batch_inside_of_an_envelope_what_is_understood_is_taken() -> None:
    batch = b"[" + EVENTS["business event"] + b"," + STRANGE + b"]"
    with pytest.raises(PartlyRejected, match="in a record of Event Hubs Capture: event 2 of 2: not an event") as part:
        decode(ENVELOPES["Event Hubs Capture"](batch))
    assert told(part.value.facts) == told(decode(EVENTS["business event"]))


@pytest.mark.requirement("R7")
def test_a_line_that_is_no_event_is_named_and_the_others_are_taken() -> None:
    event = EVENTS["business event"]
    with pytest.raises(PartlyRejected) as part:
        decode(b"\n".join([event, b"{", b"17", b"", STRANGE, event]))
    reason = str(part.value)
    assert reason.startswith("line 2 of 5: not JSON")
    assert "line 3 of 5: a JSON object is expected" in reason
    assert "line 4 of 5: not an event" in reason
    assert len(part.value.facts) == 2


@pytest.mark.requirement("R7")
def test_a_first_line_that_was_cut_does_not_take_the_others_along() -> None:
    with pytest.raises(PartlyRejected, match="line 1 of 2: not JSON") as part:
        decode(EVENTS["business event"][:-9] + b"\n" + EVENTS["business event"])
    assert len(part.value.facts) == 1


@pytest.mark.requirement("R7")
def test_an_event_over_several_lines_that_is_cut_is_no_batch() -> None:
    with pytest.raises(Rejected, match=r"^not JSON"):
        decode(json.dumps(business(), indent=1).encode()[:-3])


EMPTY: dict[str, Any] = {
    "nothing": None,
    "an empty text": "",
    "a number": 17,
    "text": "hello",
    "base64 of something else": "aGVsbG8=",
    "an Avro file": "T2JqAQ==",
    "XML": "<Entity/>",
}


@pytest.mark.requirement("R7")
@pytest.mark.parametrize("inside", EMPTY.values(), ids=EMPTY.keys())
@pytest.mark.parametrize(
    "members",
    [
        {"Body": 0, "SequenceNumber": 1},
        {"schema": None, "payload": 0},
        {"ContentData": 0},
        {"body": 0},
        {"messageBody": 0},
        {"eventType": "x", "data": 0},
        {"specversion": "1.0", "type": "x", "data": 0},
        {"specversion": "1.0", "type": "x", "data_base64": 0},
    ],
)
def test_an_envelope_without_an_event_is_rejected_with_what_is_in_it(members: dict[str, Any], inside: Any) -> None:
    event = {name: inside if value == 0 else value for name, value in members.items()}
    with pytest.raises(Rejected) as rejected:
        decode(encoded(event))
    assert str(rejected.value).startswith(("in a", "unknown event type"))


FORMS = {
    "Avro": (b"Obj\x01\x04\x16avro.schema", "fastavro"),
    "Parquet": (b"PAR1\x15", "Parquet"),
    "gzip": (b"\x1f\x8b\x08\x00", "turn compression off"),
    "a schema registry's": (b"\x00\x00\x00\x00\x07abc", "value.converter"),
}


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(("value", "advice"), FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("wrapped", [lambda value: value, ENVELOPES["Service Bus of Logic Apps"]], ids=["alone", "in"])
def test_a_binary_form_is_rejected_with_its_name_and_what_to_do(value: bytes, advice: str, wrapped: Envelope) -> None:
    with pytest.raises(Rejected, match=f"not JSON but .*{advice}"):
        decode(wrapped(value))


@pytest.mark.requirement("R7")
def test_an_answer_that_refuses_a_request_is_no_envelope() -> None:
    refused = {"status": 429, "headers": {}, "body": {"error": {"code": "0x80072322", "message": "Too many"}}}
    with pytest.raises(Rejected, match=r"no event .status 429: 0x80072322: Too many"):
        decode(encoded(refused))


def test_members_of_an_envelope_beside_those_of_an_event_change_nothing() -> None:
    event = business()
    (alone,) = decode(encoded(event))
    (fact,) = decode(encoded({**event, "body": {}, "data": {}, "eventType": "x", "ContentData": "x"}))
    assert isinstance(alone, Change)
    assert isinstance(fact, Change)
    assert (fact.entity, fact.evidence.event) == (alone.entity, alone.evidence.event)
