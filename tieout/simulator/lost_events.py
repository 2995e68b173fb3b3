"""Events that are lost, truncated or damaged on the way, and the events that restore their rows."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from tieout.simulator.event_recorder import random_guid, text_time
from tieout.simulator.payloads import Payloads, cut
from tieout.simulator.scenario import DATAVERSE_TOPIC, SimulatedEvent, TimedEvent, encode

LOST = CUT = DAMAGED = 0.005
"""The share of events that each mishap takes."""
_POLL = timedelta(hours=1)
"""Time after a failure at which a poller reads the row."""


class DeliveryFailures:
    """Applies delivery failures to the events of stories; `repairs` are the events to send again, in order.

    A poller, which reads the whole row an hour later, makes up for a lost or truncated event. A damaged event, which is
    rejected, is submitted again intact.
    """

    def __init__(self, seed: int, until: datetime, payloads: Payloads) -> None:
        """`until` is the end of the simulation: no poll is later. Repairs have the formats of `payloads`."""
        self.payloads = payloads
        self.chance = Random(seed)
        self.until = until
        self.repairs: list[SimulatedEvent] = []
        self.count = 0

    def apply(self, stories: Iterable[tuple[date, list[TimedEvent]]]) -> Iterator[tuple[date, list[TimedEvent]]]:
        """Yield the stories with the events that arrive, as they are sent."""
        for day, story in stories:
            arriving = [arrived for entry in story if (arrived := self._sent(entry, story)) is not None]
            yield day, self.payloads.story(arriving, story)

    def _sent(self, entry: TimedEvent, story: list[TimedEvent]) -> TimedEvent | None:
        draw = self.chance.random()
        if draw >= LOST + CUT + DAMAGED:
            return entry
        self.count += 1
        at, number, event = entry
        if draw < LOST:
            self.repairs.append(self.payloads.polled(self._polled(entry, story)))
            return None
        if draw < LOST + CUT and event.topic == DATAVERSE_TOPIC:
            self.repairs.append(self.payloads.polled(self._polled(entry, story)))
            return at, number, cut(event)
        intact = self.payloads.sent(event)
        self.repairs.append(intact)
        return at, number, damaged(intact)

    def _polled(self, entry: TimedEvent, story: list[TimedEvent]) -> SimulatedEvent:
        """Return the whole row as it was an hour later; a row deleted by then yields its delete event."""
        at, _, event = entry
        polled_at = min(at + _POLL, self.until)
        columns: dict[str, Any] = {}
        data: dict[str, Any] = {}
        for changed, _, other in story:
            if changed <= polled_at and other.key == event.key and other.entity == event.entity:
                data |= other.value["data"]
                columns |= data.pop("columns", {})
                if data["operation"] == "delete":
                    return other
        data.pop("version", None)
        head = {**event.value, "id": random_guid(self.chance), "time": text_time(polled_at)}
        return SimulatedEvent(event.topic, event.key, {**head, "data": {**data, "columns": columns}})


def damaged(event: SimulatedEvent) -> SimulatedEvent:
    """Return an event whose second half is missing."""
    whole = encode(event.value)
    return SimulatedEvent(event.topic, event.key, whole[: len(whole) // 2], event.headers)
