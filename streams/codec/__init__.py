"""From the bytes of an event to what it says. The content tells its family, never the topic:

* `cloudevents`  CloudEvents 1.0 that carry a row, a heartbeat or a process message: the plain way in (R4)
* `contexts`     `RemoteExecutionContext` of Dataverse, and of Finance data events, which have the same shape (R2, R3)
* `business`     Finance business events (R3)
* `pages`        answers of the Web API and of Finance OData, as a poller puts them on a topic (R9)

An array is a batch of such events. `decode` raises nothing but `Rejected`, whatever it is given, with a reason that
names what is wrong and where.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.changes import Fact
from engine.errors import Rejected
from streams.codec import business, cloudevents, contexts, pages
from streams.codec.common import NOT_JSON, NOWHERE, Event, Headers, Nowhere, Place, named, plain, shown, time_of
from streams.codec.printed import change_json

__all__ = ["ANSWERED", "NOWHERE", "Headers", "Nowhere", "PartlyRejected", "Place", "change_json", "decode"]

ANSWERED: Final = "tieout-answered-at"
"""The header in which a poller says when the API gave the answer that is the body: an RFC 3339 time."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_REASONS_SHOWN: Final = 5


class PartlyRejected(Rejected):
    """Some events of a batch, or rows of a page, were not understood; `facts` are what the others say."""

    def __init__(self, reasons: Sequence[str], facts: list[Fact]) -> None:
        more = len(reasons) - _REASONS_SHOWN
        listed = "; ".join(reasons[:_REASONS_SHOWN])
        super().__init__(f"{listed}; and {more:,} more" if more > 0 else listed)
        self.facts = facts


def decode(
    value: bytes | None,
    headers: Headers = (),
    place: Place = NOWHERE,
    environments: tuple[str, ...] | None = None,
    *,
    undated: bool = False,
) -> list[Fact]:
    """What an event says. `environments` are those an event may come from, None for any.

    `undated` takes rows of a page without any time, too (they have `UNDATED` then), which cannot be ordered and so
    cannot be applied. Raises `Rejected`: not JSON, of no family this product knows, a missing or wrong member, no time
    to order it by; `PartlyRejected` when that holds for a part.
    """
    if not value:
        raise Rejected("the event has no body")
    if value.startswith(_BYTE_ORDER_MARK):
        value = value[len(_BYTE_ORDER_MARK) :]
    if headers and cloudevents.is_binary(headers):
        return cloudevents.binary(value, headers, place, environments)
    # What the bytes hold somewhere only says what to try first; the top level decides.
    if contexts.HINT not in value:
        try:
            return cloudevents.structured(value, headers, place, environments)
        except NOT_JSON:
            pass
    return _sorted(Event(value, headers, place, environments, _answered(headers), undated))


def _answered(headers: Headers) -> int | None:
    for name, content in headers:
        if name.lower() == ANSWERED:
            text = (content or b"").decode("utf-8", "replace")
            at = time_of(text)
            if at is None:
                raise Rejected(f"{shown(text)} in the header {ANSWERED} is no RFC 3339 time")
            return at
    return None


class _Top(msgspec.Struct, gc=False):
    """The members by which the families know their own. What they hold is somebody else's matter."""

    specversion: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    message: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="MessageName", default=msgspec.UNSET)
    business: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="BusinessEventId", default=msgspec.UNSET)
    context: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="@odata.context", default=msgspec.UNSET)
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    status: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_top: Final = msgspec.json.Decoder(_Top)


def _sorted(event: Event) -> list[Fact]:
    """What an event of any family says."""
    if contexts.HINT in event.value and (context := _context(event.value)) is not None:
        return _understood(*contexts.decode(context, event))
    try:
        top = _top.decode(event.value)
    except msgspec.ValidationError:
        return _batch(event)
    except NOT_JSON as error:
        raise _no_json(event.value, error) from None
    if top.specversion is not msgspec.UNSET:
        try:
            return cloudevents.structured(event.value, event.headers, event.place, event.environments)
        except NOT_JSON as error:
            raise cloudevents.refuse(_content(event.value), error) from None
    if top.message is not msgspec.UNSET:
        try:
            context = contexts.parse(event.value)
        except msgspec.ValidationError as error:
            raise contexts.refuse(error) from None
        except NOT_JSON as error:
            raise _no_json(event.value, error) from None
        assert context is not None
        return _understood(*contexts.decode(context, event))
    content = _content(event.value)
    if top.business is not msgspec.UNSET:
        return list(business.decode(content, event))
    if top.context is not msgspec.UNSET:
        return _understood(*pages.decode(content, event))
    if top.error is not msgspec.UNSET or top.status is not msgspec.UNSET:
        raise pages.refuse(content)
    raise Rejected(
        "not an event this version knows: it has no member specversion, so it is no CloudEvent, and none of "
        "MessageName (Dataverse, Finance data events), BusinessEventId (Finance business events), @odata.context "
        "(answers of the APIs)"
    )


def _understood(facts: Sequence[Fact], reasons: Sequence[str]) -> list[Fact]:
    """The facts of an event of several rows. Raises `PartlyRejected` when there are reasons why others say nothing."""
    if reasons:
        raise PartlyRejected(reasons, list(facts))
    return list(facts)


def _context(value: bytes) -> contexts.Context | None:
    """The event as a context at the price of one reading; None when it is none, or not at first sight."""
    try:
        return contexts.parse(value)
    except NOT_JSON:
        return None


def _content(value: bytes) -> dict[str, Any]:
    try:
        content = plain.decode(value)
    except NOT_JSON as error:
        raise _no_json(value, error) from None
    assert isinstance(content, dict)
    return content


def _no_json(value: bytes, error: Exception) -> Rejected:
    if value.lstrip()[:1] == b"<" or value[:1] == b"@":
        return Rejected("not JSON but XML: choose the message format JSON in the service endpoint of Dataverse")
    return Rejected(f"not JSON: {error}")


# --- batches ----------------------------------------------------------------------------------------------------------

_several: Final = msgspec.json.Decoder(list[msgspec.Raw])


def _batch(event: Event) -> list[Fact]:
    """What the events of an array say, each for itself: an event that came alone and in a batch counts once."""
    try:
        values = _several.decode(event.value)
    except msgspec.ValidationError:
        try:
            content = plain.decode(event.value)
        except NOT_JSON as error:
            raise _no_json(event.value, error) from None
        raise Rejected(f"not an event: a JSON object is expected, this is {named(content)}") from None
    except NOT_JSON as error:
        raise _no_json(event.value, error) from None
    if not values:
        raise Rejected("not an event: this is an array with nothing in it")
    facts: list[Fact] = []
    reasons: list[str] = []
    for number, value in enumerate(values, 1):
        one = bytes(value)
        if not one.startswith(b"{"):
            reasons.append(f"event {number} of {len(values)}: a JSON object is expected")
            continue
        try:
            facts += _sorted(msgspec.structs.replace(event, value=one))
        except Rejected as reason:
            facts += getattr(reason, "facts", [])
            reasons.append(f"event {number} of {len(values)}: {reason}")
    if reasons:
        raise PartlyRejected(reasons, facts)
    return facts
