"""Dead letters: events that could not be decoded, on a topic with their bytes and the reason (R7).

When an event is resubmitted, a tombstone under its key, its original location, removes it from the list.
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
"""The header of a tombstone with the new location of the event."""


class Rejection(RejectedEvent, frozen=True):
    """A rejected event and when it was rejected (ISO 8601 UTC)."""

    rejected_at: str

    @property
    def id(self) -> str:
        """The original location: topic, partition and offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    def as_json(self) -> dict[str, Any]:
        """Return the members of the JSON output: `value` is base64; `text` is null if the bytes are not UTF-8."""
        members = {"id": self.id, **as_json(self), "bytes": len(self.value or b"")}
        try:
            members["text"] = None if self.value is None else self.value.decode()
        except UnicodeDecodeError:
            members["text"] = None
        return members


def rejections(log: EventLog, prefix: str) -> list[Rejection]:
    """Return the rejected events that were not resubmitted, in the order of rejection, each once even if it was
    published twice.
    """
    listed: dict[bytes | None, Rejection] = {}
    for record in topic_reader.records(log, REJECTED.full_name(prefix)):
        if record.value is None:
            listed.pop(record.key, None)
        else:
            listed.setdefault(record.key, _rejection(record, record.value))
    return list(listed.values())


def _rejection(record: LogRecord, value: bytes) -> Rejection:
    event = read_rejection(value)
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return Rejection(**fields, rejected_at=iso(record.timestamp * 1_000) or "")


def find(log: EventLog, prefix: str, identifier: str) -> Rejection:
    """Return a rejected event by its id, with or without the prefix. Raises `QueryError` if there is none."""
    names = {identifier, f"{prefix}.{identifier}"}
    for event in rejections(log, prefix):
        if event.id in names:
            return event
    raise QueryError(f"there is no rejected event {identifier!r}; `tieout rejected list` shows those there are.")


def with_reason(events: Iterable[Rejection], reason: str) -> Iterator[Rejection]:
    """Filter by a text in the reason, ignoring case."""
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
    """Return a page of at most `limit` events that meet all filters, and the number of further events.

    The page starts after the event with the id `after`. `reason` is a text in the reason, `topic` a name with or
    without the prefix; `start` and `end` are dates in UTC, both inclusive. Raises `QueryError` if no event has the id.
    """
    if after is not None:
        ids = [event.id for event in events]
        last_id = next((name for name in (after, f"{prefix}.{after}") if name in ids), None)
        if last_id is None:
            raise QueryError(f"there is no rejected event {after!r} to go on after: list without --after.")
        events = events[ids.index(last_id) + 1 :]
    matching = [
        event
        for event in with_reason(events, reason)
        if (topic is None or event.topic in (topic, f"{prefix}.{topic}"))
        and (start or "") <= event.rejected_at[:10] <= (end or "9999-12-31")
    ]
    return matching[:limit], max(0, len(matching) - limit)


def resubmit(log: EventLog, prefix: str, events: Iterable[Rejection]) -> int:
    """Append events to their topics again, byte for byte, to be read under the current maps. Return their number.

    If this is interrupted between the two appends, an event is resubmitted and still listed. That is harmless, because
    an event that arrives twice counts once.
    """
    sent = 0
    for event in events:
        record = NewRecord(event.topic, event.key, event.value, tuple(event.headers))
        [(partition, offset)] = log.append([record])
        header = (SENT_AGAIN, f"{event.topic}/{partition}/{offset}".encode())
        log.append([NewRecord(REJECTED.full_name(prefix), event.id.encode(), None, (header,))])
        sent += 1
    return sent
