"""Events that are lost, cut for size or damaged on the way, and what brings their rows back."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from tieout.simulator.event_recorder import random_guid, text_time
from tieout.simulator.payloads import Payloads, cut
from tieout.simulator.scenario import DATAVERSE_TOPIC, Entry, Event, encode

LOST = CUT = DAMAGED = 0.005
"""The share of events that each mishap takes."""
_POLL = timedelta(hours=1)
"""How long after a mishap a poller reads the row."""


class Mishaps:
    """Lets mishaps befall the events of stories; `repairs` holds what must be sent again, in the order of the mishaps.

    A lost or cut event is made good by a poller, which reads the whole row an hour later; a damaged one, which is
    rejected, is submitted again as it was meant.
    """

    def __init__(self, seed: int, until: datetime, payloads: Payloads) -> None:
        """`until` is the end of the play: no poll is later. Repairs have the shapes of `payloads`."""
        self.payloads = payloads
        self.chance = Random(seed)
        self.until = until
        self.repairs: list[Event] = []
        self.befallen = 0

    def befall(self, stories: Iterable[tuple[date, list[Entry]]]) -> Iterator[tuple[date, list[Entry]]]:
        """The stories with what is left of their events, as they are sent."""
        for day, story in stories:
            left = [arrived for entry in story if (arrived := self._sent(entry, story)) is not None]
            yield day, self.payloads.story(left, story)

    def _sent(self, entry: Entry, story: list[Entry]) -> Entry | None:
        draw = self.chance.random()
        if draw >= LOST + CUT + DAMAGED:
            return entry
        self.befallen += 1
        at, number, event = entry
        if draw < LOST:
            self.repairs.append(self.payloads.polled(self._polled(entry, story)))
            return None
        if draw < LOST + CUT and event.topic == DATAVERSE_TOPIC:
            self.repairs.append(self.payloads.polled(self._polled(entry, story)))
            return at, number, cut(event)
        meant = self.payloads.sent(event)
        self.repairs.append(meant)
        return at, number, damaged(meant)

    def _polled(self, entry: Entry, story: list[Entry]) -> Event:
        """The whole row as it was an hour later; a row that was gone by then is told to be deleted."""
        at, _, event = entry
        asked = min(at + _POLL, self.until)
        columns: dict[str, Any] = {}
        data: dict[str, Any] = {}
        for told, _, other in story:
            if told <= asked and other.key == event.key and other.entity == event.entity:
                data |= other.value["data"]
                columns |= data.pop("columns", {})
                if data["operation"] == "delete":
                    return other
        data.pop("version", None)
        head = {**event.value, "id": random_guid(self.chance), "time": text_time(asked)}
        return Event(event.topic, event.key, {**head, "data": {**data, "columns": columns}})


def damaged(event: Event) -> Event:
    """An event of which the second half never came."""
    whole = encode(event.value)
    return Event(event.topic, event.key, whole[: len(whole) // 2], event.headers)
