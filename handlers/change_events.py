"""Events for the change topics, in the format that any poller publishes (docs/connect-pollers.md)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

System = Literal["finance", "dataverse"]

ANSWERED_AT: Final = "tieout-answered-at"
TABLE: Final = "tieout-table"
"""The header with the name of the table that was read: entity sets need not be named after it."""
EVENT_BYTES_MAX: Final = 256 * 1024
"""The approximate size of an event, in bytes: brokers accept one megabyte, and a page has up to 10,000 rows."""


class SourceEvent(msgspec.Struct, frozen=True):
    """An event for the topic `{system}.changes`."""

    system: System
    key: str | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def topic(self) -> str:
        """The name of the topic, without the prefix of the environment."""
        return f"{self.system}.changes"


class _PageBody(msgspec.Struct):
    """The members of a response that are published. Rows keep their bytes, so amounts keep their digits."""

    context: str = msgspec.field(name="@odata.context")
    value: list[msgspec.Raw]


_decode: Final = msgspec.json.Decoder(_PageBody).decode
_encode: Final = msgspec.json.Encoder().encode


def events_of_page(system: System, entity: str, body: bytes, answered: datetime) -> Iterator[SourceEvent]:
    """Yield the rows of a page of a table in events of bounded size. Links are omitted, so that a page that is read
    twice yields identical events.

    Raises `msgspec.DecodeError` for a body that is not a page with an `@odata.context`.
    """
    page = _decode(body)
    rows: list[msgspec.Raw] = []
    size = 0
    for row in page.value:
        length = len(bytes(row))
        if rows and size + length > EVENT_BYTES_MAX:
            yield _event(system, entity, page.context, rows, answered)
            rows, size = [], 0
        rows.append(row)
        size += length
    if rows:
        yield _event(system, entity, page.context, rows, answered)


def _event(system: System, entity: str, context: str, rows: list[msgspec.Raw], answered: datetime) -> SourceEvent:
    return SourceEvent(system, None, _encode(_PageBody(context, rows)), _answered(answered, entity))


def event_of_row(system: System, entity: str, row_id: str, body: bytes, answered: datetime) -> SourceEvent:
    """Return the event of one row of a table; `body` is the response of the API."""
    return SourceEvent(system, row_id, body, _answered(answered, entity))


def event_of_deleted_row(api: str, entity: str, entity_set: str, row_id: str, deleted_at: datetime) -> SourceEvent:
    """Return the event of a deleted row of Dataverse, in the format of change tracking. `deleted_at` determines the
    precedence of the delete among the changes of the row.
    """
    deleted = {"@odata.context": f"{api}$metadata#{entity_set}/$deletedEntity", "id": row_id, "reason": "deleted"}
    page: dict[str, Any] = {"@odata.context": f"{api}$metadata#{entity_set}/$delta", "value": [deleted]}
    return SourceEvent("dataverse", row_id, _encode(page), _answered(deleted_at, entity))


def heartbeat(system: System, host: str, until: datetime) -> SourceEvent:
    """Return the heartbeat of a system: every change up to `until` has been published (R21)."""
    time, source = until.isoformat(), source_of(system, host)
    return _cloud_event(system, source, f"poll-{time}", source, "tieout.source.complete", time, {"until": time})


def process_event(host: str, event: str, stage: str, at: str, data: Mapping[str, Any]) -> SourceEvent:
    """Return an event of a process (R50). `stage` is started, message, finished or failed; `data` has the members that
    docs/topics.md lists, among them `run`. `event` is the idempotency key: an event that is published twice counts
    once.
    """
    kind = f"tieout.process.{stage}"
    return _cloud_event("finance", data["run"], event, source_of("finance", host), kind, at, data)


def source_of(system: System, host: str) -> str:
    """Return the CloudEvents `source` of the events that tieout publishes about a system."""
    return f"/{system}/{host}"


def _cloud_event(
    system: System, key: str, event: str, source: str, kind: str, time: str, data: Mapping[str, Any]
) -> SourceEvent:
    value = {"specversion": "1.0", "id": event, "source": source, "type": kind, "time": time, "data": data}
    return SourceEvent(system, key, _encode(value), (("content-type", b"application/cloudevents+json"),))


def _answered(at: datetime, entity: str) -> tuple[tuple[str, bytes], ...]:
    return ((ANSWERED_AT, at.isoformat().encode()), (TABLE, entity.encode()))
