"""Decodes Finance business events: an envelope and the members of a data contract (R3).

They contain keys, not rows, so each becomes a re-read request. The test message that Finance sends when an endpoint is
configured is accepted and has no effect.
"""

from typing import Any, Final

import structlog

from engine.errors import Rejected
from engine.events.facts import Change, Evidence
from streams.codec.common import LONGEST_NAME, Event, clean, excerpt, normalize_text, operation_time, row_guid

log = structlog.get_logger(__name__)

_ENDPOINT_TEST: Final = "businesseventstestendpoint"

_ENVELOPE: Final = frozenset(
    [
        "BusinessEventId",
        "EventId",
        "ControlNumber",
        "EventTime",
        "EventTimeIso8601",
        "MajorVersion",
        "MinorVersion",
        "BusinessEventLegalEntity",
        "ContextRecordSubject",
        "ParentContextRecordSubjects",
        "InitiatingUserAADObjectId",
    ]
)


def decode(content: dict[str, Any], event: Event) -> list[Change]:
    """Decode a business event; empty for an endpoint test. Raises `Rejected` if the name or the time is missing."""
    name = clean(content["BusinessEventId"], LONGEST_NAME)
    if not name:
        raise Rejected(f"{excerpt(content['BusinessEventId'])} at $.BusinessEventId names no business event")
    if _ENDPOINT_TEST in name.lower():
        log.info("endpoint_test_received", event_id=row_guid(content.get("EventId")), topic=event.location.topic)
        return []
    # The newer member includes fractions of a second.
    at = operation_time(content.get("EventTimeIso8601"))
    if at is None:
        at = operation_time(content.get("EventTime"))
    if at is None:
        raise Rejected(
            "the event cannot be ordered: there is no time at $.EventTimeIso8601 or $.EventTime (1900 means none)"
        )
    company = clean(content.get("BusinessEventLegalEntity")) or clean(content.get("LegalEntity"))
    columns = {
        member: normalize_text(value) if type(value) is str else value
        for member, value in content.items()
        if member not in _ENVELOPE
    }
    unknown = tuple(member for member, value in columns.items() if type(value) in (dict, list))
    location = event.location
    evidence = Evidence(
        at,
        0,
        event.digest(),
        "/finance",
        row_guid(content.get("EventId")),
        location.topic,
        location.partition,
        location.offset,
    )
    return [Change("notify", "finance", name, "", evidence, columns, company.upper() or None, unknown=unknown)]
