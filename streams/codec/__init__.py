"""Decodes the bytes of an event into facts. The content determines the family of an event, never the topic:

* `cloudevents`: CloudEvents 1.0 with a row, a heartbeat or a process message; the format for own senders (R4).
* `contexts`: `RemoteExecutionContext` of Dataverse, and Finance data events, which have the same structure (R2, R3).
* `business`: Finance business events (R3).
* `odata_pages`: responses of the Dataverse Web API and of Finance OData, as a poller puts them on a topic (R9).
* `exports`: rows exported by Synapse Link and Fabric Link (R3, R9).

and what they share:

* `common`: location and digest of an event; normalisation of text, ids and dates.
* `envelopes`: removes one envelope of a connector before the content is classified.
* `environments`: accepts or rejects events by the environment that they come from (R85).
* `printed`: the JSON of a change, as `tieout decode` prints it.

A JSON array is a batch of events, and so are JSON lines. `decode` raises only `Rejected`, whatever the input, with a
reason that names the fault and its location in the event.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.errors import Rejected
from engine.events.facts import Fact
from streams.codec import business, cloudevents, contexts, envelopes, exports, odata_pages
from streams.codec.common import (
    LONGEST_NAME,
    NO_LOCATION,
    NOT_JSON,
    Event,
    EventLocation,
    Headers,
    StaticLocation,
    clean,
    excerpt,
    json_decoder,
    json_type_name,
    parse_event_time,
)
from streams.codec.environments import Environments
from streams.codec.exports import TABLE
from streams.codec.printed import change_json

__all__ = [
    "ANSWERED",
    "NO_LOCATION",
    "TABLE",
    "EventLocation",
    "Headers",
    "PartlyRejected",
    "StaticLocation",
    "change_json",
    "decode",
]

ANSWERED: Final = "tieout-answered-at"
"""Header with the time of the API response in the body, set by the poller (RFC 3339)."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_REASONS_SHOWN: Final = 5


class PartlyRejected(Rejected):
    """Some events of a batch, or rows of a page, were rejected; `facts` are those of the others."""

    code = "event-partly-rejected"

    def __init__(self, reasons: Sequence[str], facts: list[Fact]) -> None:
        more = len(reasons) - _REASONS_SHOWN
        listed = "; ".join(reasons[:_REASONS_SHOWN])
        super().__init__(f"{listed}; and {more:,} more" if more > 0 else listed)
        self.reasons = reasons
        self.facts = facts


def decode(
    value: bytes | None,
    headers: Headers = (),
    location: EventLocation = NO_LOCATION,
    environments: Environments | None = None,
    *,
    undated: bool = False,
) -> list[Fact]:
    """Return the facts of an event. `environments` are those that are accepted; None accepts any.

    With `undated`, rows of a page without a timestamp are returned with the time `UNDATED`. They cannot be ordered, so
    they must not be applied. Raises `Rejected` if the event is not JSON, belongs to no known family, lacks a member or
    has no timestamp; `PartlyRejected` if that is true for a part of the event.
    """
    if not value:
        raise Rejected("the event has no body")
    if value.startswith(_BYTE_ORDER_MARK):
        value = value[len(_BYTE_ORDER_MARK) :]
    if headers and (kind := cloudevents.binary_type(headers)) is not None:
        if cloudevents.is_known(kind):
            return cloudevents.binary(value, headers, location, environments)
        foreign = f"a CloudEvent of the type {excerpt(kind)}, which is not ours"
        event = _make_event(value, headers, location, environments, undated=undated)
        event = msgspec.structs.replace(event, headers=(), inside=foreign)
        return _decode_content(event, f"unknown event type {excerpt(kind)} in the header ce_type, and in its data: ")
    # A substring only chooses the decoder to try first; the members of the top level decide.
    if contexts.HINT not in value:
        try:
            return cloudevents.structured(value, headers, location, environments)
        except NOT_JSON:
            pass
    return _decode_by_family(_make_event(value, headers, location, environments, undated=undated))


def _make_event(
    value: bytes, headers: Headers, location: EventLocation, environments: Environments | None, *, undated: bool
) -> Event:
    """Build an event, with the answer time and the table from its headers."""
    answered, table = None, ""
    for name, content in headers:
        lower = name.lower()
        if lower not in (ANSWERED, TABLE):
            continue
        text = (content or b"").decode("utf-8", "replace")
        if lower == TABLE:
            table = clean(text, LONGEST_NAME)
        elif (answered := parse_event_time(text)) is None:
            raise Rejected(f"{excerpt(text)} in the header {ANSWERED} is no RFC 3339 time")
    return Event(value, headers, location, environments, answered, undated, table)


class _Top(msgspec.Struct, gc=False):
    """The members that identify the family of an event. Their values are left undecoded."""

    specversion: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    message: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="MessageName", default=msgspec.UNSET)
    business: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="BusinessEventId", default=msgspec.UNSET)
    context: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="@odata.context", default=msgspec.UNSET)
    rec_id: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="recid", default=msgspec.UNSET)
    version: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="versionnumber", default=msgspec.UNSET)
    is_delete: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="IsDelete", default=msgspec.UNSET)
    exported: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="SinkModifiedOn", default=msgspec.UNSET)
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    status: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_top: Final = msgspec.json.Decoder(_Top)


def _decode_by_family(event: Event) -> list[Fact]:
    """Determine the family of an event and decode it."""
    if contexts.HINT in event.value and (context := _parse_context(event.value)) is not None:
        return _checked(*contexts.decode(context, event))
    try:
        top = _top.decode(event.value)
    except msgspec.ValidationError:
        return _decode_array(event)
    except NOT_JSON as error:
        if lines := _split_lines(event.value):
            return _decode_each(lines, event, "line")
        raise _not_json(event.value, error) from None
    if top.specversion is not msgspec.UNSET:
        return _cloud_event(event)
    if top.message is not msgspec.UNSET:
        try:
            context = contexts.parse(event.value)
        except msgspec.ValidationError as error:
            raise contexts.refuse(error) from None
        except NOT_JSON as error:
            raise _not_json(event.value, error) from None
        assert context is not None
        return _checked(*contexts.decode(context, event))
    content = _parse_object(event.value)
    if top.business is not msgspec.UNSET:
        return list(business.decode(content, event))
    if top.context is not msgspec.UNSET:
        return _checked(*odata_pages.decode(content, event))
    if top.exported is not msgspec.UNSET or (
        top.rec_id is not msgspec.UNSET
        and (top.version is not msgspec.UNSET or top.is_delete is not msgspec.UNSET or event.table)
    ):
        return [exports.decode(content, event)]
    if top.error is not msgspec.UNSET or top.status is not msgspec.UNSET:
        raise odata_pages.refuse(content)
    if (inside := _open_envelope(event)) is not None:
        return _decode_content(inside, f"in {inside.inside}: ")
    raise Rejected(
        "not an event this version knows: it has no member specversion, so it is no CloudEvent, and none of "
        "MessageName (Dataverse, Finance data events), BusinessEventId (Finance business events), @odata.context "
        "(answers of the APIs)"
    )


def _cloud_event(event: Event) -> list[Fact]:
    """Decode a CloudEvent of ours, or the event inside a CloudEvent of another type."""
    try:
        return cloudevents.structured(event.value, event.headers, event.location, event.environments)
    except NOT_JSON as error:
        content = _parse_object(event.value)
        refused = cloudevents.refuse(content, error)
        if cloudevents.is_known(content.get("type")) or (inside := _open_envelope(event)) is None:
            raise refused from None
    return _decode_content(inside, f"{refused}, and in its data: ")


# --- envelopes --------------------------------------------------------------------------------------------------------


def _open_envelope(event: Event) -> Event | None:
    """Unwrap an event; None if it is no envelope. Raises `Rejected` if an envelope was removed already."""
    content = envelopes.open_envelope(event.value)
    return None if content is None else _replace_content(event, content)


def _replace_content(event: Event, content: envelopes.EnvelopeContent) -> Event:
    if event.inside:
        raise Rejected(f"{content.name} inside of {event.inside}: envelopes are taken off once")
    return msgspec.structs.replace(
        event, value=content.value.removeprefix(_BYTE_ORDER_MARK), headers=(), inside=content.name
    )


def _decode_content(event: Event, where: str) -> list[Fact]:
    """Decode an unwrapped event; rejection reasons get the prefix `where`."""
    if not event.value:
        raise Rejected(f"{where}the event has no body")
    try:
        return _decode_by_family(event)
    except PartlyRejected as part:
        raise PartlyRejected([f"{where}{reason}" for reason in part.reasons], part.facts) from None
    except Rejected as reason:
        raise Rejected(f"{where}{reason}") from None


def _checked(facts: Sequence[Fact], reasons: Sequence[str]) -> list[Fact]:
    """Return the facts of an event of several rows. Raises `PartlyRejected` if some rows were rejected."""
    if reasons:
        raise PartlyRejected(reasons, list(facts))
    return list(facts)


def _parse_context(value: bytes) -> contexts.Context | None:
    """Parse an event as a context in one pass; None if it is not one, or is malformed."""
    try:
        return contexts.parse(value)
    except NOT_JSON:
        return None


def _parse_object(value: bytes) -> dict[str, Any]:
    try:
        content = json_decoder.decode(value)
    except NOT_JSON as error:
        raise _not_json(value, error) from None
    assert isinstance(content, dict)
    return content


def _not_json(value: bytes, error: Exception) -> Rejected:
    if value.lstrip()[:1] == b"<" or value[:1] == b"@":
        return Rejected("not JSON but XML: choose the message format JSON in the service endpoint of Dataverse")
    for begin, form in envelopes.FORMS.items():
        if value.startswith(begin):
            return Rejected(f"not JSON but {form}")
    return Rejected(f"not JSON: {error}")


# --- batches ----------------------------------------------------------------------------------------------------------

_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


def _decode_array(event: Event) -> list[Fact]:
    """Decode each event of an array. An event has the same digest alone and in a batch, so it is applied once."""
    try:
        values = _array.decode(event.value)
    except msgspec.ValidationError:
        try:
            content = json_decoder.decode(event.value)
        except NOT_JSON as error:
            raise _not_json(event.value, error) from None
        if type(content) is str:
            inside = _replace_content(event, envelopes.open_text(content))
            return _decode_content(inside, f"in {inside.inside}: ")
        raise Rejected(f"not an event: a JSON object is expected, this is {json_type_name(content)}") from None
    except NOT_JSON as error:
        raise _not_json(event.value, error) from None
    if not values:
        raise Rejected("not an event: this is an array with nothing in it")
    return _decode_each([bytes(value) for value in values], event, "event")


def _split_lines(value: bytes) -> list[bytes]:
    """Split JSON lines; empty if neither the first nor the last line is a JSON object."""
    lines = [line for text in value.split(b"\n") if (line := text.strip(b" \t\r\x1e"))]
    if len(lines) > 1:
        for line in (lines[0], lines[-1]):
            try:
                _top.decode(line)
            except NOT_JSON:
                continue
            return lines
    return []


def _decode_each(values: list[bytes], event: Event, unit: str) -> list[Fact]:
    """Decode each event of a batch. Raises `PartlyRejected` if some were rejected."""
    facts: list[Fact] = []
    reasons: list[str] = []
    for number, value in enumerate(values, 1):
        if not value.startswith(b"{"):
            reasons.append(f"{unit} {number} of {len(values)}: a JSON object is expected")
            continue
        try:
            facts += _decode_by_family(msgspec.structs.replace(event, value=value))
        except Rejected as reason:
            facts += getattr(reason, "facts", [])
            reasons.append(f"{unit} {number} of {len(values)}: {reason}")
    return _checked(facts, reasons)
