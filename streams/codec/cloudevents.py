"""CloudEvents 1.0 in structured and binary mode: the format for pollers, extensions and tests (R4)."""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec

from engine.errorlog.about_documents import DUAL_WRITE, row_named
from engine.errors import Rejected
from engine.events.facts import PROCESSES, Change, Evidence, Fact, Heartbeat, ProcessMessage, Source, row_id
from engine.mapping.compiler import COMPANY
from engine.mapping.values import parse_time
from streams.codec.common import (
    LARGEST_INTEGER,
    LONGEST_ID,
    LONGEST_NAME,
    NOT_JSON,
    SMALLEST_INTEGER,
    EventLocation,
    Headers,
    blank_if_zero_guid,
    excerpt,
    json_decoder,
    modified_time,
    parse_event_time,
)
from streams.codec.environments import Environments, Name, kind_of_source


class RowData(msgspec.Struct, gc=False):
    """A row as it is now. Only the columns given change; null clears one."""

    entity: str
    id: str | int
    operation: Literal["upsert", "delete"]
    columns: dict[str, Any] = {}
    version: int | None = None
    company: str | msgspec.UnsetType | None = msgspec.UNSET


class ProcessData(msgspec.Struct, gc=False):
    """What a process in Finance, or dual-write, reports."""

    process: str
    run: str
    company: str | None = None
    scope: list[str] = []
    subject: str | None = None
    text: str | None = None


class CompleteData(msgspec.Struct, gc=False):
    """Everything up to then has been sent (RFC 3339)."""

    until: str


class _Attributes(msgspec.Struct, gc=False):
    specversion: str
    id: str
    source: str
    time: str | None = None
    correlationid: str | None = None


class RowChanged(_Attributes, tag_field="type", tag="tieout.row.changed", kw_only=True, gc=False):
    """`tieout.row.changed`: a row was created, changed or deleted."""

    data: RowData


class SourceComplete(_Attributes, tag_field="type", tag="tieout.source.complete", kw_only=True, gc=False):
    """`tieout.source.complete`: a source has sent everything up to a time."""

    data: CompleteData


class ProcessStarted(_Attributes, tag_field="type", tag="tieout.process.started", kw_only=True, gc=False):
    """`tieout.process.started`: a run of a process has started."""

    data: ProcessData


class ProcessSaid(_Attributes, tag_field="type", tag="tieout.process.message", kw_only=True, gc=False):
    """`tieout.process.message`: a message of a run."""

    data: ProcessData


class ProcessFinished(_Attributes, tag_field="type", tag="tieout.process.finished", kw_only=True, gc=False):
    """`tieout.process.finished`: a run has ended successfully."""

    data: ProcessData


class ProcessFailed(_Attributes, tag_field="type", tag="tieout.process.failed", kw_only=True, gc=False):
    """`tieout.process.failed`: a run has failed."""

    data: ProcessData


Process = ProcessStarted | ProcessSaid | ProcessFinished | ProcessFailed
CloudEvent = RowChanged | SourceComplete | Process

_STAGES: Final[dict[type, Literal["started", "message", "finished", "failed"]]] = {
    ProcessStarted: "started",
    ProcessSaid: "message",
    ProcessFinished: "finished",
    ProcessFailed: "failed",
}

_decoder: Final = msgspec.json.Decoder(CloudEvent, float_hook=str)


def structured(
    value: bytes, headers: Headers, location: EventLocation, environments: Environments | None
) -> list[Fact]:
    """Decode a CloudEvent in structured mode.

    Raises `Rejected`, or `NOT_JSON` errors of the parser if the bytes are not a known CloudEvent; `refuse` turns these
    into a reason.
    """
    event: CloudEvent = _decoder.decode(value)
    return [_fact(event, _digest(value, headers), location, environments)]


def binary(value: bytes, headers: Headers, location: EventLocation, environments: Environments | None) -> list[Fact]:
    """Decode a CloudEvent in binary mode: attributes in headers `ce_…`, data in the body. Raises `Rejected`."""
    attributes: dict[str, Any] = {}
    for name, content in headers:
        if name.lower()[:3] in ("ce_", "ce-"):
            attributes[name.lower()[3:]] = (content or b"").decode("utf-8", "replace")
    try:
        attributes["data"] = json_decoder.decode(value)
        event: CloudEvent = msgspec.convert(attributes, CloudEvent)
    except msgspec.ValidationError as error:
        raise Rejected(f"{attributes['type']}: {error}") from None
    except NOT_JSON as error:
        raise Rejected(f"not JSON: {error}") from None
    return [_fact(event, _digest(value, headers), location, environments)]


def binary_type(headers: Headers) -> str | None:
    """Return the type of a CloudEvent in binary mode from the headers; None if there is none."""
    for name, content in headers:
        if name.lower() in ("ce_type", "ce-type"):
            return (content or b"").decode("utf-8", "replace")
    return None


def is_known(kind: object) -> bool:
    """Return True for the CloudEvent types of this product."""
    return kind in _TYPES


def refuse(content: dict[str, Any], error: Exception) -> Rejected:
    """Return the rejection of a CloudEvent, in terms of the event rather than of the parser."""
    kind = content.get("type")
    if not is_known(kind):
        return Rejected(f"unknown event type {excerpt(kind)} at $.type; known are {', '.join(_TYPES)}")
    return Rejected(f"{kind}: {error}")


_TYPES: Final = (
    "tieout.row.changed",
    "tieout.source.complete",
    "tieout.process.started",
    "tieout.process.message",
    "tieout.process.finished",
    "tieout.process.failed",
)


def _digest(value: bytes, headers: Headers) -> bytes:
    digest = blake2b(value, digest_size=16)
    if headers:
        for name, content in sorted(headers, key=lambda header: (header[0], header[1] or b"")):
            if name.lower()[:3] in ("ce_", "ce-"):
                digest.update(b"\0" + name.lower().encode() + b"\0" + (content or b""))
    return digest.digest()


def _fact(event: CloudEvent, digest: bytes, location: EventLocation, environments: Environments | None) -> Fact:
    if not event.specversion.startswith("1."):
        raise Rejected(f"CloudEvents {excerpt(event.specversion)} at $.specversion is not a version 1")
    if not event.id or len(event.id) > LONGEST_ID or "\0" in event.id:
        raise Rejected(f"the event id at $.id must have 1 to {LONGEST_ID} characters")
    source, name = _source(event.source)
    if environments is not None:
        environments.check(source, (name,), "$.source")
    if isinstance(event, RowChanged):
        return _row(event, source, digest, location)
    evidence = _evidence(event, _event_time(event.time), 0, digest, location)
    if isinstance(event, SourceComplete):
        until = parse_time(event.data.until)
        if until is None:
            raise Rejected(f"{excerpt(event.data.until)} at $.data.until is no RFC 3339 time")
        return Heartbeat(source, until, evidence)
    return _process(event, evidence)


@lru_cache(maxsize=1024)
def _source(source: str) -> tuple[Source, Name]:
    _, _, rest = source.partition("/")
    system, _, environment = rest.partition("/")
    if source[:1] != "/" or system not in ("finance", "dataverse") or not environment or len(source) > LONGEST_NAME:
        raise Rejected(
            f"the source {excerpt(source)} at $.source must be /finance/ENVIRONMENT or /dataverse/ENVIRONMENT"
        )
    return "finance" if system == "finance" else "dataverse", (kind_of_source(environment), environment)


def _event_time(time: str | None) -> int:
    at = parse_event_time(time) if time is not None else None
    if at is None:
        what = "there is no member time" if time is None else f"{excerpt(time)} at $.time is no RFC 3339 time"
        raise Rejected(f"the event cannot be ordered: {what}")
    return at


def _evidence(event: CloudEvent, at: int, version: int, digest: bytes, location: EventLocation) -> Evidence:
    return Evidence(
        at,
        version,
        digest,
        event.source,
        blank_if_zero_guid(event.id),
        location.topic,
        location.partition,
        location.offset,
    )


def _row(event: RowChanged, source: Source, digest: bytes, location: EventLocation) -> Change:
    data = event.data
    identifier = row_id((data.id if type(data.id) is str else str(data.id)).strip())
    if not identifier or len(identifier) > LONGEST_ID or "\0" in identifier:
        raise Rejected(f"the row id at $.data.id must have 1 to {LONGEST_ID} characters")
    if not blank_if_zero_guid(identifier):
        raise Rejected(f"the event names no row: {excerpt(identifier)} at $.data.id means none")
    if not data.entity or len(data.entity) > LONGEST_NAME:
        raise Rejected(f"the entity at $.data.entity must have 1 to {LONGEST_NAME} characters")
    version = data.version or 0
    if not SMALLEST_INTEGER <= version <= LARGEST_INTEGER:
        raise Rejected("the version at $.data.version is no 64-bit integer")
    at = modified_time(data.columns)
    if at is None:
        at = _event_time(event.time)
    if isinstance(data.company, msgspec.UnsetType):
        company = None
    else:
        # As for any column: absent means unchanged, null clears it.
        company = (data.company or "").strip().upper() or None
        data.columns[COMPANY] = company
    return Change(
        data.operation,
        source,
        data.entity,
        identifier,
        _evidence(event, at, version, digest, location),
        data.columns,
        company,
        blank_if_zero_guid(event.correlationid or "") or None,
    )


def _process(event: Process, evidence: Evidence) -> ProcessMessage:
    data = event.data
    if data.process not in PROCESSES:
        raise Rejected(f"unknown process {excerpt(data.process)} at $.data.process; known are {', '.join(PROCESSES)}")
    company = data.company.strip().upper() if data.company else None
    by_row = data.process == DUAL_WRITE
    return ProcessMessage(
        _STAGES[type(event)],
        data.process,
        data.run,
        company or None,
        tuple(filter(None, map(row_named, data.scope))) if by_row else tuple(data.scope),
        row_named(data.subject, data.text) if by_row else data.subject,
        data.text,
        evidence,
    )
