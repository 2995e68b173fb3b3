"""What was read, as events for the change topics: in the shape in which any poller puts it there
(docs/connect-pollers.md).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

System = Literal["finance", "dataverse"]

ANSWERED_AT: Final = "tieout-answered-at"
TABLE: Final = "tieout-table"
"""The header with the table that was asked for: entity sets need not be named after it."""
EVENT_BYTES_MAX: Final = 256 * 1024
"""A page goes out in events of about this size: brokers take a megabyte, and a page has up to 10,000 rows."""


class SourceEvent(msgspec.Struct, frozen=True):
    """An event for the topic `{system}.changes`."""

    system: System
    key: str | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def topic(self) -> str:
        """The topic without the environment's prefix."""
        return f"{self.system}.changes"


class _Answer(msgspec.Struct):
    """What of an answer is sent on; rows keep their bytes, and so money its digits."""

    context: str = msgspec.field(name="@odata.context")
    value: list[msgspec.Raw]


_read: Final = msgspec.json.Decoder(_Answer).decode
_encode: Final = msgspec.json.Encoder().encode


def events_of_page(system: System, entity: str, body: bytes, answered: datetime) -> Iterator[SourceEvent]:
    """The rows of a page of a table, in events of bounded size; links are left out, so that a page read twice is the
    same event.

    Raises `msgspec.DecodeError` for a body that is no page with its `@odata.context`.
    """
    page = _read(body)
    held: list[msgspec.Raw] = []
    size = 0
    for row in page.value:
        length = len(bytes(row))
        if held and size + length > EVENT_BYTES_MAX:
            yield _event(system, entity, page.context, held, answered)
            held, size = [], 0
        held.append(row)
        size += length
    if held:
        yield _event(system, entity, page.context, held, answered)


def _event(system: System, entity: str, context: str, rows: list[msgspec.Raw], answered: datetime) -> SourceEvent:
    return SourceEvent(system, None, _encode(_Answer(context, rows)), _answered(answered, entity))


def event_of_row(system: System, entity: str, row_id: str, body: bytes, answered: datetime) -> SourceEvent:
    """One row of a table as the API gave it."""
    return SourceEvent(system, row_id, body, _answered(answered, entity))


def event_of_deleted_row(api: str, entity: str, entity_set: str, row_id: str, gone: datetime) -> SourceEvent:
    """A deleted row of Dataverse in the format of change tracking; `gone` is the time that ranks the delete."""
    deleted = {"@odata.context": f"{api}$metadata#{entity_set}/$deletedEntity", "id": row_id, "reason": "deleted"}
    page: dict[str, Any] = {"@odata.context": f"{api}$metadata#{entity_set}/$delta", "value": [deleted]}
    return SourceEvent("dataverse", row_id, _encode(page), _answered(gone, entity))


def heartbeat(system: System, host: str, until: datetime) -> SourceEvent:
    """The heartbeat: everything of a system up to a time has been sent (R21)."""
    said, source = until.isoformat(), source_of(system, host)
    return _cloud_event(system, source, f"poll-{said}", source, "tieout.source.complete", said, {"until": said})


def process_event(host: str, event: str, stage: str, at: str, data: Mapping[str, Any]) -> SourceEvent:
    """What a process says (R50): `stage` is started, message, finished or failed; `data` as in the README, with its
    `run`. One that is sent again under its `event` counts once.
    """
    kind = f"tieout.process.{stage}"
    return _cloud_event("finance", data["run"], event, source_of("finance", host), kind, at, data)


def source_of(system: System, host: str) -> str:
    """Who an event of ours comes from."""
    return f"/{system}/{host}"


def _cloud_event(
    system: System, key: str, event: str, source: str, kind: str, time: str, data: Mapping[str, Any]
) -> SourceEvent:
    value = {"specversion": "1.0", "id": event, "source": source, "type": kind, "time": time, "data": data}
    return SourceEvent(system, key, _encode(value), (("content-type", b"application/cloudevents+json"),))


def _answered(at: datetime, entity: str) -> tuple[tuple[str, bytes], ...]:
    return ((ANSWERED_AT, at.isoformat().encode()), (TABLE, entity.encode()))
