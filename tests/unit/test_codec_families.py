"""The content determines the family of an event, never the topic; an array is a batch (R2, R3, R4, R7)."""

import json
from typing import Any

import pytest

from engine.errors import Rejected
from engine.events.facts import Change, Fact
from streams.codec import ANSWERED, PartlyRejected, StaticLocation, decode
from tests.support.payloads import ACTUAL, DATAVERSE, business, context, encoded, page

ROW = {
    "specversion": "1.0",
    "id": "9f",
    "source": "/finance/contoso",
    "type": "tieout.row.changed",
    "time": "2025-01-08T09:37:24Z",
    "data": {"entity": "TrvExpTrans", "id": "5637144576", "operation": "upsert", "columns": {"ProjTransId": "000123"}},
}
COMPLETE = {**ROW, "type": "tieout.source.complete", "data": {"until": "2025-01-08T10:30:00Z"}}
BUSINESS = business()
ANSWER = page(DATAVERSE + "msdyn_actuals", ACTUAL, ACTUAL)
FAMILIES: dict[str, dict[str, Any]] = {
    "CloudEvent": ROW,
    "context": context({"a": 1}),
    "business event": BUSINESS,
    "page": ANSWER,
}
HEADERS = [(ANSWERED, b"2025-01-09T12:00:00Z")]


def told(facts: list[Fact]) -> list[tuple[str, str]]:
    return [(fact.operation, fact.entity) if isinstance(fact, Change) else ("", "") for fact in facts]


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("topic", ["tieout.finance.changes", "tieout.dataverse.changes"])
@pytest.mark.parametrize("event", FAMILIES.values(), ids=FAMILIES.keys())
def test_the_topic_does_not_tell_the_family(event: dict[str, Any], topic: str) -> None:
    (fact, *_) = decode(encoded(event), HEADERS, StaticLocation(topic, 3, 7))
    assert (fact.evidence.topic, fact.evidence.partition, fact.evidence.offset) == (topic, 3, 7)
    assert told([fact]) == told(decode(encoded(event), HEADERS)[:1])


MEMBERS = {
    "specversion": "1.0",
    "MessageName": "Update",
    "BusinessEventId": "x",
    "@odata.context": "x",
    "error": {},
    "status": 429,
}


@pytest.mark.parametrize("event", FAMILIES.values(), ids=FAMILIES.keys())
def test_what_stands_deeper_than_the_top_does_not_tell_the_family(event: dict[str, Any]) -> None:
    plain = told(decode(encoded(event), HEADERS))
    assert told(decode(encoded({"neighbour": MEMBERS, **event}), HEADERS)) == plain
    assert told(decode(encoded({"neighbour": json.dumps(MEMBERS), **event}), HEADERS)) == plain


def test_a_cloud_event_may_have_members_of_other_families() -> None:
    others = {name: value for name, value in MEMBERS.items() if name != "specversion"}
    assert told(decode(encoded({**ROW, **others}))) == [("upsert", "TrvExpTrans")]


@pytest.mark.requirement("R7")
@pytest.mark.parametrize("value", [b"<Entity/>", b"\n  <Entity/>", b"@\x06string\x083http://schemas"])
def test_xml_is_rejected_with_what_to_do(value: bytes) -> None:
    with pytest.raises(Rejected, match="choose the message format JSON"):
        decode(value)


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2", "R3", "R4")
def test_an_array_says_what_its_events_say() -> None:
    facts = decode(encoded([*FAMILIES.values(), COMPLETE]), HEADERS)
    alone = [fact for event in [*FAMILIES.values(), COMPLETE] for fact in decode(encoded(event), HEADERS)]
    assert told(facts) == told(alone)
    # Alike to the digest: an event that came alone and in a batch counts once.
    assert [fact.evidence for fact in facts] == [fact.evidence for fact in alone]


@pytest.mark.requirement("R7")
def test_an_event_of_a_batch_that_cannot_be_understood_is_named_and_the_others_are_taken() -> None:
    strange = {**ROW, "type": "other"}
    with pytest.raises(PartlyRejected) as part:
        decode(encoded([ROW, strange, 5, BUSINESS, [ROW]]), HEADERS)
    assert str(part.value).startswith("event 2 of 5: unknown event type 'other'")
    assert "event 3 of 5: a JSON object is expected; event 5 of 5: a JSON object is expected" in str(part.value)
    assert told(part.value.facts) == told(decode(encoded(ROW)) + decode(encoded(BUSINESS)))


@pytest.mark.requirement("R7")
def test_rows_of_a_page_within_a_batch_are_taken_though_others_are_not() -> None:
    answer = {**ANSWER, "value": [ACTUAL, {}]}
    with pytest.raises(PartlyRejected, match="event 1 of 2: row 2 of msdyn_actuals") as part:
        decode(encoded([answer, ROW]), HEADERS)
    assert len(part.value.facts) == 2
