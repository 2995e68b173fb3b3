"""`RemoteExecutionContext`: what Dataverse sends of a row, and what Finance sends as a data event (R2, R3, R5).

The top level of the context says what happened to which row; the target among its input parameters says with which
columns. Everything beside them (parents, images, shared variables, formatted values, further parameters) may speak of
other rows, operations and times, and is not read.
"""

from typing import Any, Final

import msgspec

from engine.changes import Change, Evidence, Operation, Source, rec_id
from engine.errors import Rejected
from engine.maps import COMPANY
from streams.codec.common import (
    LARGEST_INTEGER,
    LONGEST_NAME,
    NOT_JSON,
    Event,
    check_environment,
    clean,
    columns_time,
    operation_time,
    row_guid,
    shown,
    text_of_date,
)

HINT: Final = b'"MessageName"'
"""Bytes that hardly any event of another family holds."""

_VIRTUAL: Final = "mserp_"
"""What the logical names of Finance's virtual entities begin with."""

_OPERATIONS: Final[dict[str, Operation]] = {
    "Create": "create",
    "Update": "update",
    "Upsert": "upsert",
    "Delete": "delete",
    "OnExternalCreated": "create",
    "OnExternalUpdated": "update",
    "OnExternalDeleted": "delete",
}
# Before this stage nothing has happened yet.
_MAIN_OPERATION: Final = 30


class Parameter(msgspec.Struct, gc=False):
    """A parameter of the message: `Target` is the row, with the columns that changed; others are not read."""

    key: Any = None
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Context(msgspec.Struct, gc=False):
    """The top level. A member that is not read is not described, so that the parser skips it."""

    specversion: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    message: Any = msgspec.field(name="MessageName", default=msgspec.UNSET)
    entity: Any = msgspec.field(name="PrimaryEntityName", default=None)
    id: Any = msgspec.field(name="PrimaryEntityId", default=None)
    organization: Any = msgspec.field(name="OrganizationId", default=None)
    organization_name: Any = msgspec.field(name="OrganizationName", default=None)
    operation: Any = msgspec.field(name="OperationId", default=None)
    correlation: Any = msgspec.field(name="CorrelationId", default=None)
    created: Any = msgspec.field(name="OperationCreatedOn", default=None)
    stage: Any = msgspec.field(name="Stage", default=None)
    inputs: list[Parameter] | None = msgspec.field(name="InputParameters", default=None)
    outputs: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="OutputParameters", default=msgspec.UNSET)


class _Attribute(msgspec.Struct, gc=False):
    key: str
    value: Any = None


class _Target(msgspec.Struct, gc=False):
    """An entity, or a reference to one, which has no attributes."""

    entity: Any = msgspec.field(name="LogicalName", default=None)
    id: Any = msgspec.field(name="Id", default=None)
    version: Any = msgspec.field(name="RowVersion", default=None)
    attributes: list[_Attribute] | None = msgspec.field(name="Attributes", default=None)


_context: Final = msgspec.json.Decoder(Context)
_target: Final = msgspec.json.Decoder(_Target, float_hook=str)
_outputs: Final = msgspec.json.Decoder(list[_Attribute], float_hook=str)


def parse(value: bytes) -> Context | None:
    """The top level of a context; None when the event is of another family. Raises `msgspec.ValidationError`."""
    context = _context.decode(value)
    return None if context.message is msgspec.UNSET or context.specversion is not msgspec.UNSET else context


def decode(context: Context, event: Event) -> Change:
    """What a context says. Raises `Rejected`: it names no table or no row, has no time, or is from elsewhere."""
    try:
        target = _target_of(context.inputs or ())
    except msgspec.ValidationError as error:
        raise refuse(error) from None
    except NOT_JSON as error:
        raise Rejected(f"not JSON: {error}") from None
    check_environment(
        (context.organization, context.organization_name), event.environments, "$.OrganizationId, $.OrganizationName"
    )
    entity = clean(context.entity, LONGEST_NAME)
    if not entity or entity == "none":
        raise Rejected(
            f"the event is about no table: PrimaryEntityName is {shown(context.entity)}, MessageName "
            f"{shown(context.message)}"
        )
    return _change(context, _own(target, entity, context.id), entity, event)


def refuse(error: msgspec.ValidationError) -> Rejected:
    """What is wrong with the shape of a context."""
    return Rejected(f"RemoteExecutionContext: {error}")


def _target_of(inputs: list[Parameter] | tuple[()]) -> _Target | None:
    """The parameter `Target`; None when there is none, or it is neither an entity nor a reference."""
    for parameter in inputs:
        if parameter.key == "Target" and isinstance(parameter.value, msgspec.Raw):
            value = bytes(parameter.value)
            return _target.decode(value) if value.startswith(b"{") else None
    return None


def _own(target: _Target | None, entity: str, primary: object) -> _Target | None:
    """The target when it is the row that the top level names; of another row it says nothing here."""
    if target is None:
        return None
    named, primary_id, target_id = clean(target.entity, LONGEST_NAME), row_guid(primary), row_guid(target.id)
    other_table = named and named.lower() != entity.lower()
    other_row = primary_id and target_id and primary_id != target_id
    return None if other_table or other_row else target


def _change(context: Context, target: _Target | None, entity: str, event: Event) -> Change:
    # Without input parameters the event was cut for its size: what is left says only that the row is another now.
    truncated = context.inputs is None
    operation = _OPERATIONS.get(context.message) if type(context.message) is str else None
    early = type(context.stage) is int and context.stage < _MAIN_OPERATION
    columns, unknown = _columns(target) if target is not None else ({}, ())
    # A row is gone whatever the target says of it; of another change the target alone tells the values.
    told = target is not None or (operation == "delete" and not truncated)
    if operation is None or early or not told:
        operation, columns, unknown = "notify", {}, ()
    sent = _row(context, target, entity, columns)
    identifier = (rec_id(sent) if entity.startswith(_VIRTUAL) else None) or sent
    if not identifier and operation != "notify":
        raise Rejected(
            f"the event names no row: {context.message} of {entity} without an id in PrimaryEntityId or Target"
        )
    at = columns_time(columns)
    if at is None:
        at = operation_time(context.created)
    if at is None:
        raise Rejected(
            f"the event cannot be ordered: {shown(context.created)} at $.OperationCreatedOn is no time, and the row "
            "has no modifiedon"
        )
    source: Source = "finance" if entity.startswith(_VIRTUAL) else "dataverse"
    company = None
    if source == "finance" and "mserp_dataareaid" in columns:
        company = clean(columns["mserp_dataareaid"]).upper() or None
        columns[COMPANY] = company
    organization = clean(context.organization_name) or clean(context.organization)
    place = event.place
    evidence = Evidence(
        at,
        _version(target, columns),
        event.digest(),
        f"/{source}/{organization}",
        clean(context.operation),
        place.topic,
        place.partition,
        place.offset,
    )
    correlation = clean(context.correlation) or None
    change = Change(operation, source, entity, identifier, evidence, columns, company, correlation, truncated, unknown)
    if sent != identifier:
        change.sent_id = sent
    return change


def _row(context: Context, target: _Target | None, entity: str, columns: dict[str, Any]) -> str:
    """The row's id: of the top level, else of the target; all zeros mean that it is not there."""
    found = row_guid(context.id) or (row_guid(target.id) if target is not None else "")
    return found or row_guid(columns.get(f"{entity}id")) or _created(context)


def _created(context: Context) -> str:
    """The id that a create gave out."""
    if context.message != "Create" or not isinstance(context.outputs, msgspec.Raw):
        return ""
    try:
        return next((row_guid(item.value) for item in _outputs.decode(context.outputs) if item.key == "id"), "")
    except NOT_JSON:
        return ""


def _version(target: _Target | None, columns: dict[str, Any]) -> int:
    """The row version, 0 when it is not known: it is missing from most events."""
    if target is None:
        return 0
    for version in (target.version, columns.get("versionnumber")):
        text = clean(version)
        if text.isascii() and text.isdigit() and int(text) <= LARGEST_INTEGER:
            return int(text)
    return 0


# --- columns ----------------------------------------------------------------------------------------------------------


def _columns(target: _Target) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The target's columns, and the names of those whose values are of an unknown kind: they are kept as they came."""
    columns: dict[str, Any] = {}
    unknown = []
    for attribute in target.attributes or ():
        value = attribute.value
        kind = type(value)
        if kind is str:
            value = text_of_date(value)
        elif kind is dict or kind is list:
            value, known = _object(value) if kind is dict else _list(value)
            if not known:
                unknown.append(attribute.key)
        columns[attribute.key] = value
    return columns, tuple(unknown)


def _object(value: dict[str, Any]) -> tuple[Any, bool]:
    """A value that is an object, and whether its kind is known."""
    kind = value.get("__type")
    if type(kind) is not str:
        return value, False
    if kind.startswith("OptionSetValue:"):
        number = value.get("Value")
        if number is None or type(number) is int:
            return number, True
    elif kind.startswith("Money:"):
        amount = value.get("Value")
        if amount is None or type(amount) is str or type(amount) is int:
            return amount if amount is None else str(amount), True
    elif kind.startswith("EntityReference:"):
        row = value.get("Id")
        if row is None or type(row) is str:
            return {"entity": value.get("LogicalName"), "id": clean(row) or None, "name": value.get("Name")}, True
    return value, False


def _list(values: list[Any]) -> tuple[Any, bool]:
    """A value that is a list, and whether its kind is known: choices are."""
    numbers = []
    for value in values:
        number, known = _object(value) if type(value) is dict else (None, False)
        if not known or type(number) is not int:
            return values, False
        numbers.append(number)
    return numbers, True
