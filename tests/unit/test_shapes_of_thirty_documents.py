"""Thirty simulated documents whose events come in every format: each has the status of its story (R1 to R5).

Every event is rewritten if the format applies to it, and passes through the worker: bytes, codec, maps, store.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from itertools import cycle
from typing import Any

import msgspec
import pytest

from engine.calendar import Window
from engine.reconciliation.kinds import KINDS
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from store.queries.grid_query import GridQuery
from store.queries.reader import Reader
from streams.codec import TABLE
from streams.log import LogRecord
from streams.projector import take
from tests.support.envelopes import ENVELOPES
from tests.support.stores import MAPS, apply, memory_store
from tests.unit.test_codec_respelled import capitals, extended, rewritten, untyped, wrapped
from tieout.simulator.large import LargeCompany, in_order
from tieout.simulator.payloads import NativePayloads
from tieout.simulator.scenario import Label, SimulatedEvent, label_line

pytestmark = pytest.mark.requirement("R91")

Json = dict[str, Any]
DOCUMENTS, SEED = 30, 20_250_108
ALWAYS = Window("0001-01-01", "9999-12-31")

_read = msgspec.json.Decoder(float_hook=Decimal).decode
_write = msgspec.json.Encoder(decimal_format="number").encode


class Story:
    """The documents, and their events as the systems send them."""

    def __init__(self) -> None:
        labels: list[Label] = []
        play = LargeCompany(DOCUMENTS, SEED, labels.append)
        native = NativePayloads()
        stories = [(day, native.story(story, story)) for day, story in play.stories()]
        self.events = [event for _, _, event in in_order(iter(stories))] + list(play.heartbeats())
        self.labels: dict[str, Json] = {label.document: _read(label_line(label)) for label in labels}
        self.today, self.companies = play.today, play.companies


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


# --- shapes -----------------------------------------------------------------------------------------------------------

Shape = Callable[[SimulatedEvent], Iterator[SimulatedEvent]]


def body(event: SimulatedEvent) -> bytes:
    return event.value if isinstance(event.value, bytes) else _write(event.value)


def content(event: SimulatedEvent) -> Json:
    value: Json = _read(body(event))
    return value


def enclosed(name: str) -> Shape:
    def shape(event: SimulatedEvent) -> Iterator[SimulatedEvent]:
        yield replace(event, value=ENVELOPES[name](body(event)))

    return shape


def any_envelope() -> Shape:
    names = cycle(ENVELOPES)

    def shape(event: SimulatedEvent) -> Iterator[SimulatedEvent]:
        yield replace(event, value=ENVELOPES[next(names)](body(event)))

    return shape


def of_contexts(change: Callable[[Json], Json]) -> Shape:
    """Every context changed as a whole; other events as they are."""

    def shape(event: SimulatedEvent) -> Iterator[SimulatedEvent]:
        value = content(event)
        yield replace(event, value=_write(change(value))) if "MessageName" in value else event

    return shape


def respelled(change: Callable[[Json], Json]) -> Shape:
    return of_contexts(lambda value: rewritten(value, change))


def several(value: Json) -> Json:
    """The same change, as one of several rows."""
    message = value["MessageName"]
    if message not in ("Create", "Update", "Delete"):
        return value
    (parameter,) = value["InputParameters"]
    collection = {"Entities": [parameter["value"]], "EntityName": value["PrimaryEntityName"]}
    inputs = [{"key": "Targets", "value": collection}]
    none = "00000000-0000-0000-0000-000000000000"
    return {**value, "MessageName": f"{message}Multiple", "PrimaryEntityId": none, "InputParameters": inputs}


def announced(event: SimulatedEvent) -> Iterator[SimulatedEvent]:
    """Each change is also sent before its commit, with values that are never committed."""
    value = content(event)
    if "MessageName" in value:
        strange = {"key": "msdyn_amount", "value": 999}
        early = rewritten(value, lambda item: {**item, "Attributes": [strange]} if "Attributes" in item else item)
        yield replace(event, value=_write({**early, "Stage": 20}))
    yield event


def in_a_machines_zone(event: SimulatedEvent) -> Iterator[SimulatedEvent]:
    """Times as .NET writes them again on a machine west of Greenwich."""
    zone = timezone(timedelta(hours=-6))

    def local(found: re.Match[bytes]) -> bytes:
        return f'"{datetime.fromtimestamp(int(found[1]) // 1000, zone).isoformat()}"'.encode()

    yield replace(event, value=re.sub(rb'"/Date\((-?\d+)\)/"', local, body(event)))


def zeros(value: Json) -> Json:
    none = "{00000000-0000-0000-0000-000000000000}"
    return {**value, "CorrelationId": none, "OperationId": none, "RequestId": none}


def in_a_business_event(value: Json) -> Json:
    """A data event of Finance with the envelope of a business event, under the names of the data entity."""
    entity = value["PrimaryEntityName"]
    if not entity.startswith("mserp_"):
        return value
    left = {name: item for name, item in value.items() if not name.startswith(("Operation", "Organization"))}

    def renamed(item: Json) -> Json:
        if item.get("key") == "mserp_dataareaid":
            return {**item, "key": "dataAreaId"}
        if str(item.get("key")).startswith("mserp_"):
            return {**item, "key": item["key"].removeprefix("mserp_")}
        return {**item, "LogicalName": "ProjCDSActualsImportEntity"} if "LogicalName" in item else item

    ends = {"Created": "Create", "Updated": "Update", "Deleted": "Delete"}
    message = ends[value["MessageName"].removeprefix("OnExternal")]
    beside = {
        "BusinessEventId": f"ProjCDSActualsImportEntity_DataEvent_{message}",
        "EventId": value["OperationId"].upper(),
        "EventTime": value["OperationCreatedOn"],
    }
    named = {"MessageName": message, "PrimaryEntityName": "ProjCDSActualsImportEntity"}
    changed: Json = rewritten(left, renamed)
    return {**changed, **beside, **named}


def exported(event: SimulatedEvent) -> Iterator[SimulatedEvent]:
    """Rows of Finance as Synapse Link exports them: one event for each."""
    value = content(event)
    data = value.get("data", {})
    if value.get("type") != "tieout.row.changed" or "finance" not in event.topic:
        yield event
        return
    columns = {name.lower(): item for name, item in data.get("columns", {}).items()}
    if (company := data.get("company")) is not None:
        columns["dataareaid"] = company.lower()
    sink = {"SinkCreatedOn": value["time"], "SinkModifiedOn": value["time"]}
    row = {**columns, **sink, "recid": int(data["id"]), "versionnumber": data.get("version", 0)}
    row["IsDelete"] = True if data["operation"] == "delete" else None
    yield SimulatedEvent(event.topic, "", _write(row), {TABLE: data["entity"].lower()})


SHAPES: dict[str, Shape] = {
    "as the systems send them": lambda event: iter([event]),
    **{name: enclosed(name) for name in ENVELOPES},
    "each in another envelope": any_envelope(),
    "pairs in capitals": respelled(capitals),
    "kinds left out": respelled(untyped),
    "kinds left out, extension data": respelled(extended),
    "scalars wrapped": respelled(wrapped),
    "several rows": of_contexts(several),
    "several rows, pairs in capitals": of_contexts(lambda value: rewritten(several(value), capitals)),
    "told before the commit": announced,
    "times in a machine's zone": in_a_machines_zone,
    "ids of zeros": of_contexts(zeros),
    "data events in business events": of_contexts(in_a_business_event),
    "exported rows": exported,
}


@pytest.mark.requirement("R1", "R2", "R3", "R4", "R9", "R13", "R14")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_thirty_documents_stand_where_their_stories_say_in_whatever_shape_their_events_come(
    story: Story, shape: Shape
) -> None:
    batch, reasons = DecodedBatch(), list[str]()
    events = [one for sent in story.events for one in shape(sent)]
    if shape is not SHAPES["as the systems send them"]:
        assert len({body(event) for event in events} - {body(event) for event in story.events}) >= DOCUMENTS
    for number, event in enumerate(events):
        headers = tuple((name, text.encode()) for name, text in event.headers.items())
        record = LogRecord(f"tieout.{event.topic}", 0, number, 0, event.key.encode() or None, body(event), headers)
        if (reason := take(record, batch, MAPS)) is not None:
            reasons.append(reason)
    assert reasons == []
    store = memory_store()
    writer = Writer(store, MAPS, story.companies)
    apply(writer, batch)
    while writer.recompute():
        pass
    shown = rows(Reader(store, MAPS, today=story.today))
    assert len(shown) >= DOCUMENTS
    for row in shown.values():
        if row["cause"] == "not-read-yet":
            # A change sent before its commit leads to a re-read; until then nothing that depends on it is reported.
            assert shape is announced
            del row["cause"], row["findings"]
    assert shown == {name: {key: label[key] for key in shown[name]} for name, label in story.labels.items()}


def rows(reader: Reader) -> dict[str, Json]:
    """Return every document as in the grids, with the members that its story defines."""
    told = (
        "kind company date currency accounting_currency position cause excluded findings "
        "amount missing_actual missing_journal_line reconciled difference accounting"
    ).split()
    found: dict[str, Json] = {}
    with reader.snapshot() as snapshot:
        for company in snapshot.companies():
            for kind in KINDS:
                for row in snapshot.rows(GridQuery(company=company, kind=kind, window=ALWAYS, limit=1_000)):
                    shown = row.as_json()
                    found[shown["document"]] = {name: shown[name] for name in told}
    return found
