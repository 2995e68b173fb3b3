"""The events that could not be understood (R7): kept on a topic with their bytes and the reason, until they are sent
again.

An event that was sent again leaves a tombstone under its key, its original place, so that it is no longer listed.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from engine.errors import QueryError
from engine.events.facts import iso
from streams.log import EventLog, LogRecord, NewRecord
from streams.projector import RejectedEvent, as_json, read_rejection
from streams.topics import REJECTED
from tieout.maintenance import topic_reader

SENT_AGAIN = "tieout-sent-again-as"
"""The header of a tombstone: where the event stands now."""


class Rejection(RejectedEvent, frozen=True):
    """A rejected event and when it was rejected (ISO 8601 UTC)."""

    rejected_at: str

    @property
    def id(self) -> str:
        """Its original place: topic, partition and offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    def as_json(self) -> dict[str, Any]:
        """For programs: `value` is its bytes in base64, `text` the same where it is text."""
        told = {"id": self.id, **as_json(self), "bytes": len(self.value or b"")}
        try:
            told["text"] = None if self.value is None else self.value.decode()
        except UnicodeDecodeError:
            told["text"] = None
        return told


def rejections(log: EventLog, prefix: str) -> list[Rejection]:
    """The rejected events that were not sent again, in the order they were rejected; one that was published twice comes
    once.
    """
    found: dict[bytes | None, Rejection] = {}
    for record in topic_reader.records(log, REJECTED.full_name(prefix)):
        if record.value is None:
            found.pop(record.key, None)
        else:
            found.setdefault(record.key, _rejection(record, record.value))
    return list(found.values())


def _rejection(record: LogRecord, value: bytes) -> Rejection:
    event = read_rejection(value)
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return Rejection(**fields, rejected_at=iso(record.timestamp * 1_000) or "")


def find(log: EventLog, prefix: str, identifier: str) -> Rejection:
    """A rejected event by its id, with or without the prefix. Raises `QueryError`."""
    wanted = {identifier, f"{prefix}.{identifier}"}
    for event in rejections(log, prefix):
        if event.id in wanted:
            return event
    raise QueryError(f"there is no rejected event {identifier!r}; `tieout rejected list` shows those there are.")


def alike(events: Iterable[Rejection], reason: str) -> Iterator[Rejection]:
    """Those whose reason contains a text, whatever its case."""
    return (event for event in events if reason.casefold() in event.reason.casefold())


def page(
    events: Sequence[Rejection],
    prefix: str,
    *,
    reason: str,
    topic: str | None,
    start: str | None,
    end: str | None,
    after: str | None,
    limit: int,
) -> tuple[list[Rejection], int]:
    """At most `limit` of the events that meet all filters, and how many more follow: those after the id `after` whose
    reason contains a text, of a topic with or without the prefix, rejected from `start` to `end` (dates in UTC, both
    included). Raises `QueryError` where no event has the id.
    """
    if after is not None:
        ids = [event.id for event in events]
        known = next((name for name in (after, f"{prefix}.{after}") if name in ids), None)
        if known is None:
            raise QueryError(f"there is no rejected event {after!r} to go on after: list without --after.")
        events = events[ids.index(known) + 1 :]
    found = [
        event
        for event in alike(events, reason)
        if (topic is None or event.topic in (topic, f"{prefix}.{topic}"))
        and (start or "") <= event.rejected_at[:10] <= (end or "9999-12-31")
    ]
    return found[:limit], max(0, len(found) - limit)


def resubmit(log: EventLog, prefix: str, events: Iterable[Rejection]) -> int:
    """Put events onto their topics again, byte for byte, to be read under today's maps; returns how many.

    Should this end between the two steps, an event is sent again and still listed: reading it twice changes nothing.
    """
    sent = 0
    for event in events:
        again = NewRecord(event.topic, event.key, event.value, tuple(event.headers))
        [(partition, offset)] = log.append([again])
        header = (SENT_AGAIN, f"{event.topic}/{partition}/{offset}".encode())
        log.append([NewRecord(REJECTED.full_name(prefix), event.id.encode(), None, (header,))])
        sent += 1
    return sent
