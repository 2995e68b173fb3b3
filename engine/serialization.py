"""JSON of documents and errors, for the command line, the topics and the exports.

Member names are a public contract (`docs/topics.md`).
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

import msgspec

from engine import money
from engine.errorlog.known_messages import catalogued, recognise
from engine.errorlog.lifecycle import ErrorStatus, Run
from engine.events.facts import ProcessMessage, iso
from engine.reconciliation.documents import Amounts, Document
from engine.reconciliation.fields import FIELDS, ValueType

_TO_JSON: Final[dict[ValueType, Callable[[Any, str | None], Any]]] = {
    "amount": money.text,
    "time": lambda value, _: iso(value),
    "codes": lambda value, _: list(value),
}

# Every changed document is published, so attributes are read at once, and only those are visited that need it.
_PUBLISHED: Final = [field for field in FIELDS if field.published]
_MEMBERS: Final[dict[str, Any]] = dict.fromkeys(field.group or field.name for field in _PUBLISHED)
_PLAIN: Final = [field for field in _PUBLISHED if field.read is not None and not field.part]
_PLAIN_NAMES: Final = [field.name for field in _PLAIN]
_plain_values: Final = attrgetter(*(field.source for field in _PLAIN))
_CONVERTED: Final = [(field, _TO_JSON[field.type]) for field in _PLAIN if field.type in _TO_JSON]
_DIVIDED: Final = [field for field in _PUBLISHED if field.read is not None and field.part]


def document_json(document: Document) -> dict[str, Any]:
    """Return a document as a JSON object, without the members that depend on the time of reading (`in_flight`,
    `feed-silent`); `last_retried` is null.

    Amounts are digits with the decimals of their currency, null if they cannot be computed.
    """
    members = _MEMBERS.copy()
    members.update(zip(_PLAIN_NAMES, _plain_values(document), strict=True))
    for field, convert in _CONVERTED:
        value = members[field.name]
        if value is not None:
            members[field.name] = convert(value, getattr(document, field.currency) if field.currency else None)
    for field in _DIVIDED:
        parts = _parts_json(getattr(document, field.source), getattr(document, field.currency))
        if field.group:
            members[field.group] = parts
        else:
            members.update(parts)
    return members


def _parts_json(amounts: Amounts | None, currency: str | None) -> dict[str, str | None]:
    if amounts is None:
        return dict.fromkeys(Amounts.__struct_fields__)
    return {
        part: None if value is None else money.text(value, currency)
        for part, value in zip(Amounts.__struct_fields__, msgspec.structs.astuple(amounts), strict=True)
    }


def error_json(message: ProcessMessage) -> dict[str, Any]:
    """Return a message of a Finance process with the details and resolution of its catalogue entry (R50, R51)."""
    recognised = recognise(message.text or "")
    entry = catalogued(recognised.code)
    return {
        "at": iso(message.evidence.at),
        "process": message.process,
        "run": message.run,
        "stage": message.stage,
        "company": message.company,
        "scope": list(message.scope),
        "subject": message.subject,
        "code": recognised.code,
        "parameters": recognised.parameters,
        "text": message.text,
        "details": entry.details if entry else None,
        "resolution": entry.resolution if entry else None,
        "source": message.evidence.source,
        "event_id": message.evidence.event,
    }


def state_json(status: ErrorStatus) -> dict[str, Any]:
    """Return the status of an error, with the run or the deletion that caused it (R53-R55)."""
    deletion = status.deletion
    return {
        "state": status.name,
        "taken_up": _run_json(status.taken_up),
        "interrupted": _run_json(status.interrupted),
        "deleted": None if deletion is None else {"at": iso(deletion.at), "who": deletion.who, "why": deletion.why},
    }


def _run_json(run: Run | None) -> dict[str, str] | None:
    return None if run is None else {"run": run.run, "started": iso(run.started)}
