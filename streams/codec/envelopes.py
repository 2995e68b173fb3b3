"""Unwraps events from the envelopes of connectors and gateways, one layer deep. The event inside keeps its own bytes
and digest, so it is the same event as if it had arrived alone.

| envelope | known by | where the event is |
| --- | --- | --- |
| CloudEvent of a type that is not ours | `specversion` | `data`, `data_base64` |
| Event Grid's own schema | `eventType`, `data` | `data` |
| message of Logic Apps' connectors | `ContentData` | there, in base64 |
| record of Kafka Connect's JsonConverter with schemas | `schema`, `payload` | `payload`, or `messageBody` of it |
| record of Event Hubs Capture | `Body`, `SequenceNumber` or `EnqueuedTimeUtc` | `Body` |
| message of a Service Bus source connector | `messageBody` | there |
| output of a step of Logic Apps or Power Automate | `body` | `body`, or `ContentData` or `$content` of it |

There the event is a JSON object or array, a string that contains JSON, or base64. Nothing is decompressed, so the
content is never larger than the envelope.
"""

import base64
import binascii
from typing import Final, NamedTuple

import msgspec

from engine.errors import Rejected
from streams.codec.common import NOT_JSON, excerpt

_Member = msgspec.Raw | msgspec.UnsetType


FORMS: Final = {
    b"Obj\x01": "an Avro file, as Event Hubs Capture writes it: read it with fastavro, and send each Body as an event "
    "(docs/connect-dataverse.md)",
    b"PAR1": "a Parquet file, as Event Hubs Capture writes it: read it, and send each Body as an event "
    "(docs/connect-dataverse.md)",
    b"\x1f\x8b": "compressed by gzip: turn compression off in the connector; the topic has its own",
    b"\0\0": "binary, as the Avro and Protobuf converters of Kafka Connect write it: set value.converter to "
    "ByteArrayConverter, StringConverter or JsonConverter (docs/connect-dataverse.md)",
}
"""Binary formats that connectors choose by default: magic bytes, and the remedy for the rejection reason."""


class EnvelopeContent(NamedTuple):
    """The content of an envelope, and the name of the envelope for a rejection reason."""

    value: bytes
    name: str


class _Members(msgspec.Struct, gc=False):
    """The members that identify an envelope or contain its event."""

    specversion: _Member = msgspec.UNSET
    kind: _Member = msgspec.field(name="type", default=msgspec.UNSET)
    event_type: _Member = msgspec.field(name="eventType", default=msgspec.UNSET)
    data: _Member = msgspec.UNSET
    data_base64: _Member = msgspec.UNSET
    content_data: _Member = msgspec.field(name="ContentData", default=msgspec.UNSET)
    schema: _Member = msgspec.UNSET
    payload: _Member = msgspec.UNSET
    captured: _Member = msgspec.field(name="Body", default=msgspec.UNSET)
    sequence: _Member = msgspec.field(name="SequenceNumber", default=msgspec.UNSET)
    enqueued: _Member = msgspec.field(name="EnqueuedTimeUtc", default=msgspec.UNSET)
    message_body: _Member = msgspec.field(name="messageBody", default=msgspec.UNSET)
    body: _Member = msgspec.UNSET
    content: _Member = msgspec.field(name="$content", default=msgspec.UNSET)


class _Union(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A value of an Avro union in Avro's JSON encoding: one member, named after the type. `bytes` is a string with one
    character for each byte.
    """

    as_bytes: str | msgspec.UnsetType = msgspec.field(name="bytes", default=msgspec.UNSET)
    as_string: str | msgspec.UnsetType = msgspec.field(name="string", default=msgspec.UNSET)


_members: Final = msgspec.json.Decoder(_Members)
_union: Final = msgspec.json.Decoder(_Union)
_text: Final = msgspec.json.Decoder(str)


def open_envelope(value: bytes) -> EnvelopeContent | None:
    """Unwrap a JSON object; None if it is no envelope. Raises `Rejected` if the envelope has no event."""
    members = _members.decode(value)
    if members.specversion is not msgspec.UNSET:
        member = members.data if members.data is not msgspec.UNSET else members.data_base64
        return None if member is msgspec.UNSET else _open_member(member, "a CloudEvent of another type")
    if members.event_type is not msgspec.UNSET and members.data is not msgspec.UNSET:
        return _open_member(members.data, "an event of Event Grid")
    if members.content_data is not msgspec.UNSET:
        return _open_member(members.content_data, "a message of Logic Apps")
    if members.schema is not msgspec.UNSET and members.payload is not msgspec.UNSET:
        return _open_member(members.payload, "a record of Kafka Connect")
    if members.captured is not msgspec.UNSET and (
        members.sequence is not msgspec.UNSET or members.enqueued is not msgspec.UNSET
    ):
        return _open_member(members.captured, "a record of Event Hubs Capture")
    if members.message_body is not msgspec.UNSET:
        return _open_member(members.message_body, "a message of a Service Bus connector")
    if members.body is not msgspec.UNSET:
        return _open_member(members.body, "an output of Logic Apps or Power Automate")
    if members.content is not msgspec.UNSET:
        return _open_member(members.content, "a content of Logic Apps")
    return None


def open_text(text: str) -> EnvelopeContent:
    """Unwrap a JSON string, as Kafka Connect's JsonConverter writes without schemas. Raises `Rejected`."""
    try:
        return EnvelopeContent(_from_text(text), "a JSON text")
    except Rejected as reason:
        raise Rejected(f"not an event: a JSON object is expected, this is a text: {reason}") from None


def _open_member(member: _Member, name: str) -> EnvelopeContent:
    try:
        return EnvelopeContent(_content(bytes(member) if isinstance(member, msgspec.Raw) else b""), name)
    except NOT_JSON as error:
        raise Rejected(f"in {name}: not JSON: {error}") from None
    except Rejected as reason:
        raise Rejected(f"in {name}: {reason}") from None


def _content(content: bytes) -> bytes:
    if content.startswith(b"{"):
        return _from_object(content)
    if content.startswith(b"["):
        return content
    if content.startswith(b'"'):
        return _from_text(_text.decode(content))
    raise Rejected(f"there is no event in it, but {content[:40].decode('utf-8', 'replace')}")


def _from_object(content: bytes) -> bytes:
    """Return the event, after removing the message of a connector that the platform's envelope contains."""
    try:
        union = _union.decode(content)
    except msgspec.ValidationError:
        members = _members.decode(content)
        for inner in (members.content_data, members.message_body, members.content):
            if isinstance(inner, msgspec.Raw):
                value = bytes(inner)
                return _from_text(_text.decode(value)) if value.startswith(b'"') else value
        return content
    if isinstance(union.as_bytes, str):
        try:
            return union.as_bytes.encode("latin-1")
        except UnicodeEncodeError:
            return _from_text(union.as_bytes)
    return _from_text(union.as_string) if isinstance(union.as_string, str) else content


def _from_text(text: str) -> bytes:
    """Return the bytes of a string that contains JSON or base64."""
    begin = text.lstrip("\ufeff \t\r\n")[:1]
    if not begin:
        raise Rejected("the event has no body")
    if begin in "{[<":
        return text.encode("utf-8", "surrogatepass")
    try:
        value = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if not value.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[", b"<", *FORMS)):
        raise Rejected(f"{excerpt(text)} is neither JSON nor base64 of it")
    return value
