"""Stores projected from events without a log in between: what property tests compare."""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from engine.errors import Rejected
from engine.mapping.compiler import Maps
from store.operational.state_topic import StateOutbox
from store.projection.batch_plan import DecodedBatch, OffsetAdvance, Plan
from store.projection.writer import Writer
from store.proof.dump import dump
from store.queries.reader import Reader
from store.schema import tables
from store.schema.dialects.sqlite import begin_explicitly
from streams.agents import prepare
from streams.codec import StaticLocation, decode
from tieout.bootstrap import load_maps
from tieout.settings import Settings

MAPS: Maps = load_maps(Settings())
TODAY = date(2025, 1, 8)

Event = dict[str, Any]


def body(event: Event) -> bytes:
    """Return an event as the bytes on its topic."""
    return json.dumps(event["value"], separators=(",", ":"), ensure_ascii=False).encode()


def memory_store() -> Engine:
    """An empty store in memory."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    begin_explicitly(engine, write=True)
    tables.metadata.create_all(engine)
    return engine


def publish_state(engine: Engine) -> None:
    """Mark the changed state as published, as a projecting worker does; the topic has no reader."""
    outbox = StateOutbox(engine)
    while waiting := outbox.pending(1_000):
        outbox.acknowledge(waiting, waiting[-1].number)  # which grows, as offsets do


def batch_of(events: Iterable[Event], topic: str = "", follows: int = 0) -> DecodedBatch:
    """Decoded events as one batch; with a topic, the step through it."""
    batch = DecodedBatch()
    place = follows
    for event in events:
        for fact in decode(body(event), (), StaticLocation(topic or event["topic"], 0, place)):
            add(batch, fact)
        place += 1
    if topic:
        batch.advances.append(OffsetAdvance(topic, 0, follows, place))
    return batch


def add(batch: DecodedBatch, fact: Any) -> None:
    """Sort a fact into a batch as the projector does."""
    if hasattr(fact, "entity"):
        entity_map = MAPS.find(fact.entity)
        if entity_map is None:
            raise Rejected(fact.entity)
        batch.changes.append((fact, entity_map))
    elif hasattr(fact, "until"):
        batch.heartbeats.append(fact)
    else:
        batch.messages.append(fact)


def sizes(events: Sequence[Event], cuts: Sequence[int]) -> list[Sequence[Event]]:
    """`events` cut into batches of the sizes in `cuts`, repeated."""
    pieces = []
    start = number = 0
    while start < len(events):
        size = cuts[number % len(cuts)]
        pieces.append(events[start : start + size])
        start, number = start + size, number + 1
    return pieces


def apply(writer: Writer, batch: DecodedBatch) -> Plan:
    """Apply and commit a batch, as the pipeline does without a thread."""
    plan = prepare(batch, writer)
    writer.stage(plan)
    writer.commit(plan)
    return plan


def project(events: Sequence[Event], cuts: Sequence[int] = (1_000,), companies: Sequence[str] | None = None) -> Engine:
    """A store that was given `events` in this order, in batches of these sizes."""
    engine = memory_store()
    writer = Writer(engine, MAPS, companies)
    for piece in sizes(events, cuts):
        apply(writer, batch_of(piece))
    while writer.recompute():
        pass
    return engine


def canonical(engine: Engine) -> list[str]:
    """The canonical dump, a line for each object."""
    return [json.dumps(item, sort_keys=True) for item in dump(engine)]


def reader(engine: Engine) -> Reader:
    """Questions to a store, on the day of the histories."""
    return Reader(engine, MAPS, today=TODAY)
