"""Write docs/asyncapi.json: the topics and their messages as an AsyncAPI 3 document, from the code.

Run by `make asyncapi`; the tests fail when the file is stale, and when a message that is really sent does not fit.
"""

import json
import tomllib
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_type_hints

import msgspec

from engine.events.facts import Source
from engine.reconciliation import documents
from engine.reconciliation.fields import FIELDS, DocumentField
from engine.sync import commands
from store.operational import state_topic
from streams.codec import ANSWERED, cloudevents
from streams.projector import RejectedEvent
from streams.topics import CHANGES, TOPICS, Topic

ROOT: Final = Path(__file__).resolve().parents[1]
FILE: Final = ROOT / "docs" / "asyncapi.json"

Amount = str | None
"""Digits with the decimals of the currency; null where it cannot be computed."""


class Split(msgspec.Struct):
    """An amount and how it is divided; always difference = amount − the three others."""

    amount: Amount
    missing_actual: Amount
    missing_journal_line: Amount
    reconciled: Amount
    difference: Amount


def _member(field: DocumentField) -> tuple[str, Any] | tuple[str, Any, None]:
    """Return a member of a position: name and type, with a default if it is optional."""
    if field.type in ("amount", "time"):
        type_: Any = str if field.required and not field.part else Amount
    elif field.type == "codes":
        type_ = list[str]
    else:
        type_ = get_type_hints(documents.Document).get(field.source, str | None)
    return (field.name, type_, None) if type(None) in get_args(type_) else (field.name, type_)


Position = msgspec.defstruct(
    "Position",
    [
        *(_member(field) for field in FIELDS if field.published and not field.group),
        ("accounting", Split | None, None),
    ],
    kw_only=True,
    namespace={
        "__doc__": "A document line and its position. Members that are null are omitted; new ones may be added."
    },
)


class RunStarted(msgspec.Struct):
    """A run of a process, and its start."""

    run: str
    started: str


class Deleted(msgspec.Struct):
    """The name, time and reason of the deletion of an error."""

    at: str
    who: str
    why: str


class Error(msgspec.Struct):
    """A message of a process in Finance, with its meaning and its status. The last record of a key is the
    most recent error of its subject.
    """

    at: str
    process: str
    run: str
    stage: str
    company: str | None
    scope: list[str]
    subject: str | None
    code: str
    parameters: dict[str, str]
    text: str
    details: str | None
    resolution: str | None
    source: str
    event_id: str
    state: Literal["current", "interrupted", "history", "deleted"]
    taken_up: RunStarted | None
    interrupted: RunStarted | None
    deleted: Deleted | None


class ReadCommand(msgspec.Struct, tag_field="command", tag="read"):
    """A wish to read a row again; without an id, what the columns name."""

    source: Source
    entity: str
    id: str | None
    at: str
    event_id: str | None
    correlation_id: str | None
    version: int | None
    company: str | None
    columns: dict[str, Any]
    truncated: bool
    unknown: list[str] = []


class Parameter(msgspec.Struct):
    """A parameter of the message: `Target` is the row, with the columns that changed; others are not read."""

    key: str
    value: Any = None


class RemoteExecutionContext(msgspec.Struct):
    """The members that are read of a context; it has more. Without parameters it was cut for its size."""

    message: str = msgspec.field(name="MessageName")
    entity: str = msgspec.field(name="PrimaryEntityName")
    id: str = msgspec.field(name="PrimaryEntityId")
    created: str = msgspec.field(name="OperationCreatedOn")
    organization: str | None = msgspec.field(name="OrganizationId", default=None)
    organization_name: str | None = msgspec.field(name="OrganizationName", default=None)
    operation: str | None = msgspec.field(name="OperationId", default=None)
    correlation: str | None = msgspec.field(name="CorrelationId", default=None)
    stage: int | None = msgspec.field(name="Stage", default=None)
    inputs: list[Parameter] | None = msgspec.field(name="InputParameters", default=None)
    outputs: list[Parameter] | None = msgspec.field(name="OutputParameters", default=None)


class BusinessEvent(msgspec.Struct):
    """A Finance business event: an envelope, and the members of its contract."""

    event: str = msgspec.field(name="BusinessEventId")
    id: str | None = msgspec.field(name="EventId", default=None)
    time: str | None = msgspec.field(name="EventTime", default=None)
    iso: str | None = msgspec.field(name="EventTimeIso8601", default=None)
    company: str | None = msgspec.field(name="BusinessEventLegalEntity", default=None)


class Answer(msgspec.Struct):
    """An answer of the Dataverse Web API or of Finance OData, as it came."""

    context: str = msgspec.field(name="@odata.context")
    value: list[dict[str, Any]] = []


# For each message: what it is called, the types of its value, what it is.
MESSAGES: Final[dict[str, tuple[Any, str]]] = {
    "row": (cloudevents.RowChanged, "A CloudEvent: a row as it is now"),
    "heartbeat": (cloudevents.SourceComplete, "A CloudEvent: everything up to a time has been sent"),
    "process": (cloudevents.Process, "A CloudEvent: a process in Finance reports"),
    "context": (RemoteExecutionContext, "What Dataverse sends of a row, and Finance as a data event"),
    "business": (BusinessEvent, "A Finance business event"),
    "answer": (Answer, "An answer of an API, put on the topic by a poller"),
    "command": (ReadCommand, "A row to read again"),
    "deletion": (commands.DeleteError, "Errors that a person takes off the current list"),
    "answered": (commands.RowRead, "A row was read again"),
    "sync": (commands.SyncDocuments, "Calls that somebody wants made for documents"),
    "position": (Position, "A document line after a change; no value when the document is gone"),
    "error": (Error, "A message of a process in Finance, and where it stands; no value when nothing is known of it"),
    "state": (state_topic.StateRecord, "What events do not say of one subject; no value when it is over"),
    "rejection": (RejectedEvent, "An event that could not be understood, and why; bytes in base64"),
}
_CARRIED: Final = {
    **{topic.name: ("row", "heartbeat", "process", "context", "business", "answer") for topic in CHANGES},
    "commands": ("command", "answered", "deletion", "sync"),
    "positions": ("position",),
    "errors": ("error",),
    "state": ("state",),
    "rejected": ("rejection",),
}


def document() -> dict[str, Any]:
    """The whole document."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    types = [type_ for type_, _ in MESSAGES.values()]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    messages = {
        name: {
            "summary": summary,
            "contentType": "application/json",
            "payload": schema,
            **({"headers": _headers()} if name == "answer" else {}),
        }
        for (name, (_, summary)), schema in zip(MESSAGES.items(), schemas, strict=True)
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tieout",
            "version": project["version"],
            "description": project["description"],
            "license": {"name": project["license"]},
        },
        "defaultContentType": "application/json",
        "channels": {_name(topic): _channel(topic) for topic in TOPICS.values()},
        "operations": {f"{_action(topic)}.{topic.name}": _operation(topic) for topic in TOPICS.values()},
        "components": {"messages": messages, "schemas": dict(sorted(components.items()))},
    }


def _name(topic: Topic) -> str:
    return topic.name.replace(".", "_")


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {ANSWERED: {"type": "string", "format": "date-time", "description": "when the API answered"}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    kept = topic.config()["retention.ms"]
    configuration = {"cleanup.policy": topic.cleanup.split(","), "retention.ms": int(kept)}
    return {
        "address": f"{{prefix}}.{topic.name}",
        "description": f"{topic.holds[0].upper()}{topic.holds[1:]}. Key: {topic.key}.",
        "parameters": {"prefix": {"description": "of the environment (TIEOUT_PREFIX)", "default": "tieout"}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _CARRIED[topic.name]},
        "bindings": {"kafka": {"topicConfiguration": configuration, "bindingVersion": "0.5.0"}},
    }


def _action(topic: Topic) -> str:
    """What tieout does with a topic, in the words of AsyncAPI."""
    return "receive" if topic in CHANGES else "send"


def _operation(topic: Topic) -> dict[str, Any]:
    return {"action": _action(topic), "channel": {"$ref": f"#/channels/{_name(topic)}"}}


def text() -> str:
    """Return the content of the file."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
