"""From the bytes of an event to what it says. CloudEvents 1.0 are the plain way in (R4); further families join
`decode`.

`decode` raises nothing but `Rejected`, whatever it is given, with a reason that names what is wrong and where.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal, NoReturn, Protocol

import msgspec

from engine.changes import (
    PROCESSES,
    Change,
    Evidence,
    Fact,
    Heartbeat,
    ProcessMessage,
    Source,
    guid,
    iso,
    row_id,
)
from engine.errors import Rejected
from engine.maps import COMPANY
from engine.values import parse_time

_LONGEST_ID: Final = 200
_LONGEST_NAME: Final = 200
_SMALLEST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**63 - 1


class _RowData(msgspec.Struct, gc=False):
    entity: str
    id: str | int
    operation: Literal["upsert", "delete"]
    columns: dict[str, Any] = {}
    version: int | None = None
    company: str | msgspec.UnsetType | None = msgspec.UNSET


class _ProcessData(msgspec.Struct, gc=False):
    process: str
    run: str
    company: str | None = None
    scope: list[str] = []
    subject: str | None = None
    text: str | None = None


class _CompleteData(msgspec.Struct, gc=False):
    until: str


class _CloudEvent(msgspec.Struct, gc=False):
    specversion: str
    id: str
    source: str
    time: str | None = None
    correlationid: str | None = None


class _RowChanged(_CloudEvent, tag_field="type", tag="tieout.row.changed", kw_only=True, gc=False):
    data: _RowData


class _Complete(_CloudEvent, tag_field="type", tag="tieout.source.complete", kw_only=True, gc=False):
    data: _CompleteData


class _ProcessStarted(_CloudEvent, tag_field="type", tag="tieout.process.started", kw_only=True, gc=False):
    data: _ProcessData


class _ProcessSaid(_CloudEvent, tag_field="type", tag="tieout.process.message", kw_only=True, gc=False):
    data: _ProcessData


class _ProcessFinished(_CloudEvent, tag_field="type", tag="tieout.process.finished", kw_only=True, gc=False):
    data: _ProcessData


class _ProcessFailed(_CloudEvent, tag_field="type", tag="tieout.process.failed", kw_only=True, gc=False):
    data: _ProcessData


_Process = _ProcessStarted | _ProcessSaid | _ProcessFinished | _ProcessFailed
_Event = _RowChanged | _Complete | _Process

_STAGES: Final[dict[type, Literal["started", "message", "finished", "failed"]]] = {
    _ProcessStarted: "started",
    _ProcessSaid: "message",
    _ProcessFinished: "finished",
    _ProcessFailed: "failed",
}

# A number with a fraction arrives as its digits: it may be money, and money is never a float.
_decoder: Final = msgspec.json.Decoder(_Event, float_hook=str)
_plain: Final = msgspec.json.Decoder(float_hook=str)

Headers = Sequence[tuple[str, bytes]]


class Place(Protocol):
    """Where an event stands in the log; a record of the log is one."""

    @property
    def topic(self) -> str:
        """The full name of its topic."""

    @property
    def partition(self) -> int:
        """Its partition."""

    @property
    def offset(self) -> int:
        """Its offset."""


class Nowhere(msgspec.Struct, frozen=True):
    """The place of an event that does not come from a log."""

    topic: str = ""
    partition: int = 0
    offset: int = 0


NOWHERE: Final = Nowhere()


def decode(
    value: bytes | None, headers: Headers = (), place: Place = NOWHERE, environments: tuple[str, ...] | None = None
) -> list[Fact]:
    """What an event says. `environments` are those an event may come from, None for any.

    Raises `Rejected`: not JSON, not a CloudEvent this product knows, a missing or wrong member, no time to order it by.
    """
    if not value:
        raise Rejected("the event has no body")
    event = _binary(value, headers) if headers and _is_binary(headers) else _structured(value)
    return [_fact(event, _digest(value, headers), place, environments)]


def _is_binary(headers: Headers) -> bool:
    return any(name.lower() in ("ce_type", "ce-type") for name, _ in headers)


def _structured(value: bytes) -> _Event:
    try:
        event: _Event = _decoder.decode(value)
        return event
    except msgspec.ValidationError as error:
        _refuse(value, error)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Rejected(f"not JSON: {error}") from None


def _refuse(value: bytes, error: msgspec.ValidationError) -> NoReturn:
    """Say what is wrong in terms of the event rather than of the parser."""
    try:
        content = _plain.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        # The parser stops at the first thing it does not expect; what comes after may be no JSON at all.
        raise Rejected(f"not JSON: {fault}") from None
    if not isinstance(content, dict):
        raise Rejected(f"not an event: a JSON object is expected, this is {_named(content)}")
    if "specversion" not in content:
        raise Rejected("not an event this version knows: it has no member specversion, so it is no CloudEvent")
    kind = content.get("type")
    if kind not in _TYPES:
        raise Rejected(f"unknown event type {_shown(kind)} at $.type; known are {', '.join(_TYPES)}")
    raise Rejected(f"{kind}: {error}")


_TYPES: Final = (
    "tieout.row.changed",
    "tieout.source.complete",
    "tieout.process.started",
    "tieout.process.message",
    "tieout.process.finished",
    "tieout.process.failed",
)


def _named(content: object) -> str:
    names = {list: "an array", str: "a text", bool: "a truth value", int: "a number", type(None): "null"}
    return names.get(type(content), type(content).__name__)


def _shown(value: object) -> str:
    return repr(value)[:80]


def _binary(value: bytes, headers: Headers) -> _Event:
    """A binary-mode CloudEvent: attributes in headers `ce_…`, the data as the body."""
    attributes: dict[str, Any] = {}
    for name, content in headers:
        if name.lower()[:3] in ("ce_", "ce-"):
            attributes[name.lower()[3:]] = (content or b"").decode("utf-8", "replace")
    try:
        attributes["data"] = _plain.decode(value)
        event: _Event = msgspec.convert(attributes, _Event)
        return event
    except msgspec.ValidationError as error:
        if attributes.get("type") not in _TYPES:
            raise Rejected(f"unknown event type {_shown(attributes.get('type'))} in the header ce_type") from None
        raise Rejected(f"{attributes['type']}: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Rejected(f"not JSON: {error}") from None


def _digest(value: bytes, headers: Headers) -> bytes:
    digest = blake2b(value, digest_size=16)
    if headers:
        for name, content in sorted(headers, key=lambda header: (header[0], header[1] or b"")):
            if name.lower()[:3] in ("ce_", "ce-"):
                digest.update(b"\0" + name.lower().encode() + b"\0" + (content or b""))
    return digest.digest()


def _fact(event: _Event, digest: bytes, place: Place, environments: tuple[str, ...] | None) -> Fact:
    if not event.specversion.startswith("1."):
        raise Rejected(f"CloudEvents {_shown(event.specversion)} at $.specversion is not a version 1")
    if not event.id or len(event.id) > _LONGEST_ID or "\0" in event.id:
        raise Rejected(f"the event id at $.id must have 1 to {_LONGEST_ID} characters")
    source = _source(event.source, environments)
    if isinstance(event, _RowChanged):
        return _row(event, source, digest, place)
    evidence = _evidence(event, _time_of(event.time), 0, digest, place)
    if isinstance(event, _Complete):
        until = parse_time(event.data.until)
        if until is None:
            raise Rejected(f"{_shown(event.data.until)} at $.data.until is no RFC 3339 time")
        return Heartbeat(source, until, evidence)
    return _process(event, evidence)


@lru_cache(maxsize=1024)
def _source(source: str, environments: tuple[str, ...] | None) -> Source:
    _, _, rest = source.partition("/")
    system, _, environment = rest.partition("/")
    if source[:1] != "/" or system not in ("finance", "dataverse") or not environment or len(source) > _LONGEST_NAME:
        raise Rejected(
            f"the source {_shown(source)} at $.source must be /finance/ENVIRONMENT or /dataverse/ENVIRONMENT"
        )
    if environments is not None and environment not in environments:
        raise Rejected(
            f"the environment {_shown(environment)} at $.source is none of this installation's "
            f"({', '.join(sorted(environments))})"
        )
    return "finance" if system == "finance" else "dataverse"


def _time_of(time: str | None) -> int:
    at = parse_time(time) if time is not None else None
    if at is None:
        what = "there is no member time" if time is None else f"{_shown(time)} at $.time is no RFC 3339 time"
        raise Rejected(f"the event cannot be ordered: {what}")
    return at


def _evidence(event: _Event, at: int, version: int, digest: bytes, place: Place) -> Evidence:
    return Evidence(at, version, digest, event.source, event.id, place.topic, place.partition, place.offset)


def _row(event: _RowChanged, source: Source, digest: bytes, place: Place) -> Change:
    data = event.data
    identifier = row_id((data.id if type(data.id) is str else str(data.id)).strip())
    if not identifier or len(identifier) > _LONGEST_ID or "\0" in identifier:
        raise Rejected(f"the row id at $.data.id must have 1 to {_LONGEST_ID} characters")
    if not data.entity or len(data.entity) > _LONGEST_NAME:
        raise Rejected(f"the entity at $.data.entity must have 1 to {_LONGEST_NAME} characters")
    version = data.version or 0
    if not _SMALLEST_INTEGER <= version <= _LARGEST_INTEGER:
        raise Rejected("the version at $.data.version is no 64-bit integer")
    modified = data.columns.get("modifiedon")
    at = parse_time(modified) if isinstance(modified, str) else None
    if at is None:
        at = _time_of(event.time)
    if isinstance(data.company, msgspec.UnsetType):
        company = None
    else:
        # A column like any other: not there means unchanged, null means none.
        company = (data.company or "").strip().upper() or None
        data.columns[COMPANY] = company
    return Change(
        data.operation,
        source,
        data.entity,
        identifier,
        Evidence(at, version, digest, event.source, event.id, place.topic, place.partition, place.offset),
        data.columns,
        company,
        event.correlationid,
    )


def _process(event: _Process, evidence: Evidence) -> ProcessMessage:
    data = event.data
    if data.process not in PROCESSES:
        raise Rejected(f"unknown process {_shown(data.process)} at $.data.process; known are {', '.join(PROCESSES)}")
    company = data.company.strip().upper() if data.company else None
    return ProcessMessage(
        _STAGES[type(event)],
        data.process,
        data.run,
        company or None,
        tuple(data.scope),
        data.subject,
        data.text,
        evidence,
    )


# --- what `tieout decode` prints --------------------------------------------------------------------------------------


def change_json(change: Change) -> dict[str, Any]:
    """A change under the fixed names of `tieout decode` (`design.md`, The command line)."""
    return {
        "operation": change.operation,
        "source": change.source,
        "entity": change.entity,
        "id": change.id,
        "at": iso(change.evidence.at),
        "event_id": change.evidence.event,
        "correlation_id": change.correlation_id,
        "version": change.evidence.version or None,
        "company": change.company,
        "columns": {name: _value_json(value) for name, value in change.columns.items() if name != COMPANY},
        "truncated": change.truncated,
    }


def _value_json(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("id"), str):
        return {**value, "id": guid(value["id"]) or value["id"]}
    return value
