"""Decodes `RemoteExecutionContext`: row events of Dataverse and data events of Finance (R2, R3, R5).

The top level of the context contains the operation and the row, and the target among its input parameters the columns.
Everything else (parents, images, shared variables, formatted values, further parameters) may concern other rows,
operations and times, and is not read.

`CreateMultiple` and similar messages change several rows of one table, each with its own target. Contexts that a
service has deserialised and serialised again are accepted as well: pairs with `Key` and `Value`, values without
`__type`, scalars wrapped in `{"__type", "__value"}`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from engine.errors import Rejected
from engine.events.facts import Change, Evidence, Fact, Operation, Source, rec_id
from engine.mapping.compiler import COMPANY
from streams.codec.common import (
    COMPANY_COLUMNS,
    LARGEST_INTEGER,
    LONGEST_NAME,
    NOT_JSON,
    REC_ID_COLUMNS,
    Event,
    clean,
    excerpt,
    modified_time,
    normalize_text,
    operation_time,
    parse_rec_id,
    row_guid,
    unwrap_scalar,
)

HINT: Final = b'"MessageName"'
"""Bytes that events of other families hardly ever contain."""

_VIRTUAL: Final = "mserp_"
"""Prefix of the logical names of Finance's virtual entities."""

_OPERATIONS: Final[dict[str, Operation]] = {
    "Create": "create",
    "Update": "update",
    "Upsert": "upsert",
    "Delete": "delete",
    "OnExternalCreated": "create",
    "OnExternalUpdated": "update",
    "OnExternalDeleted": "delete",
}
_BULK_MESSAGES: Final = {f"{message}Multiple": message for message in ("Create", "Update", "Upsert", "Delete")}
"""Bulk messages, each with the message that it applies to every row."""
# Earlier stages run before the operation.
_MAIN_OPERATION: Final = 30


class Parameter(msgspec.Struct, gc=False):
    """A parameter of the message. `Target` is the row with its changed columns; others are not read."""

    key: Any = None
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    capital_key: Any = msgspec.field(name="Key", default=None)
    capital_value: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="Value", default=msgspec.UNSET)


class Context(msgspec.Struct, gc=False):
    """The top level. Members that are not read are not declared, so that the parser skips them."""

    specversion: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    message: Any = msgspec.field(name="MessageName", default=msgspec.UNSET)
    entity: Any = msgspec.field(name="PrimaryEntityName", default=None)
    id: Any = msgspec.field(name="PrimaryEntityId", default=None)
    organization: Any = msgspec.field(name="OrganizationId", default=None)
    organization_name: Any = msgspec.field(name="OrganizationName", default=None)
    operation: Any = msgspec.field(name="OperationId", default=None)
    correlation: Any = msgspec.field(name="CorrelationId", default=None)
    created: Any = msgspec.field(name="OperationCreatedOn", default=None)
    business: Any = msgspec.field(name="BusinessEventId", default=None)
    event: Any = msgspec.field(name="EventId", default=None)
    event_time: Any = msgspec.field(name="EventTime", default=None)
    event_time_iso: Any = msgspec.field(name="EventTimeIso8601", default=None)
    legal_entity: Any = msgspec.field(name="BusinessEventLegalEntity", default=None)
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


class _Pair(msgspec.Struct, gc=False):
    """A pair with `key` and `value`, or with `Key` and `Value`."""

    key: Any = None
    value: Any = None
    capital_key: Any = msgspec.field(name="Key", default=None)
    capital_value: Any = msgspec.field(name="Value", default=None)


class _PairsTarget(msgspec.Struct, gc=False):
    """A target whose attributes use either spelling."""

    entity: Any = msgspec.field(name="LogicalName", default=None)
    id: Any = msgspec.field(name="Id", default=None)
    version: Any = msgspec.field(name="RowVersion", default=None)
    attributes: list[_Pair] | None = msgspec.field(name="Attributes", default=None)


class _Targets(msgspec.Struct, gc=False):
    rows: list[msgspec.Raw] = msgspec.field(name="Entities")


_context: Final = msgspec.json.Decoder(Context)
_target: Final = msgspec.json.Decoder(_Target, float_hook=str)
_pairs_target: Final = msgspec.json.Decoder(_PairsTarget, float_hook=str)
_pairs: Final = msgspec.json.Decoder(list[_Pair], float_hook=str)
_targets: Final = msgspec.json.Decoder(_Targets)
_rows: Final = msgspec.json.Decoder(list[msgspec.Raw])


def parse(value: bytes) -> Context | None:
    """Parse the top level of a context; None if the event is of another family. Raises `msgspec.ValidationError`."""
    context = _context.decode(value)
    return None if context.message is msgspec.UNSET or context.specversion is not msgspec.UNSET else context


def decode(context: Context, event: Event) -> tuple[Sequence[Fact], list[str]]:
    """Decode a context; returns the changes, and the reasons why rows of a bulk message were rejected.

    Raises `Rejected` if it names no table or no row, has no time, or comes from another environment.
    """
    names = (row_guid(context.organization), context.organization_name)
    # A business event names no environment (docs/connect-finance.md), and some data events have only its members.
    business = _has_business_members(context)
    if event.environments is not None and (any(names) or not business):
        event.environments.check(
            "finance" if business else "dataverse",
            (("organisation id", names[0]), ("organisation name", names[1])),
            "$.OrganizationId, $.OrganizationName",
        )
    entity = clean(context.entity, LONGEST_NAME)
    if not entity or entity == "none":
        raise Rejected(
            f"the event is about no table: PrimaryEntityName is {excerpt(context.entity)}, MessageName "
            f"{excerpt(context.message)}"
        )
    message = unwrap_scalar(context.message)
    if type(message) is not str:
        message = ""
    elif message in _BULK_MESSAGES:
        return _decode_bulk(context, _BULK_MESSAGES[message], entity, event)
    try:
        value = _parameter(context, "Target")
        target = None if value is None or not value.startswith(b"{") else _read_target(value)
    except msgspec.ValidationError as error:
        raise refuse(error) from None
    except NOT_JSON as error:
        raise Rejected(f"not JSON: {error}") from None
    target = _matching_target(target, entity, context.id)
    row = row_guid(context.id) or _target_id(target, entity) or (_created_id(context) if message == "Create" else "")
    return [_change(context, message, target, row, entity, event)], []


def refuse(error: msgspec.ValidationError) -> Rejected:
    """Return the rejection of a context of the wrong shape."""
    return Rejected(f"RemoteExecutionContext: {error}")


def _has_business_members(context: Context) -> bool:
    """Return True if a context has members of a business event, as some data events of Finance have."""
    return context.business is not None or context.event is not None or context.event_time is not None


def _parameter(context: Context, name: str) -> bytes | None:
    """Return the value of an input parameter; None if it is missing."""
    for parameter in context.inputs or ():
        key, value = parameter.key, parameter.value
        if key is None:
            key, value = parameter.capital_key, parameter.capital_value
        if key == name and isinstance(value, msgspec.Raw):
            return bytes(value)
    return None


def _read_target(value: bytes) -> _Target:
    """Parse an entity or a reference with either spelling of pairs. Raises the errors of the parser."""
    try:
        return _target.decode(value)
    except msgspec.ValidationError as error:
        try:
            parsed = _pairs_target.decode(value)
        except msgspec.ValidationError:
            raise error from None
        attributes = [_Attribute(key, value) for key, value in _pair_items(parsed.attributes or ())]
        if any(type(attribute.key) is not str for attribute in attributes):
            raise error from None
        return _Target(parsed.entity, parsed.id, parsed.version, attributes)


def _pair_items(pairs: "list[_Pair] | tuple[()]") -> Iterator[tuple[Any, Any]]:
    for pair in pairs:
        yield (pair.key, pair.value) if pair.key is not None else (pair.capital_key, pair.capital_value)


def _matching_target(target: _Target | None, entity: str, primary: object) -> _Target | None:
    """Return the target if it is the row of the top level, else None."""
    if target is None:
        return None
    primary_id, target_id = row_guid(primary), row_guid(target.id)
    other_row = primary_id and target_id and primary_id != target_id
    return None if other_row or _of_another_table(target, entity) else target


def _of_another_table(target: _Target, entity: str) -> bool:
    named = clean(target.entity, LONGEST_NAME)
    return bool(named) and named.lower() != entity.lower()


# --- several rows -----------------------------------------------------------------------------------------------------


def _decode_bulk(context: Context, message: str, entity: str, event: Event) -> tuple[Sequence[Fact], list[str]]:
    """Decode a bulk message: a change for each row of `Targets`, and the reasons for rejected rows.

    If a row occurs twice, its columns are merged and the last value counts. Without `Targets` (the event was cut), the
    result is a re-read request for each id in the output parameters, or one without an id.
    """
    output_ids = _output_ids(context)
    try:
        rows = _bulk_rows(_parameter(context, "Targets"))
    except msgspec.ValidationError as error:
        raise refuse(error) from None
    except NOT_JSON as error:
        raise Rejected(f"not JSON: {error}") from None
    if rows is None:
        return [_change(context, message, None, row, entity, event) for row in output_ids or [""]], []
    changes: dict[str, Change] = {}
    reasons = []
    for number, value in enumerate(rows):
        try:
            target = _read_target(bytes(value))
            if _of_another_table(target, entity):
                raise Rejected(f"it is of {excerpt(target.entity)}, and the event is about {entity}")
            row = _target_id(target, entity) or (output_ids[number] if number < len(output_ids) else "")
            change = _change(context, message, target, row, entity, event)
        except msgspec.ValidationError as error:
            reasons.append(f"row {number + 1} of {len(rows)} in Targets: {error}")
        except Rejected as reason:
            reasons.append(f"row {number + 1} of {len(rows)} in Targets: {reason}")
        else:
            if (earlier := changes.get(change.id)) is not None:
                change.columns = {**earlier.columns, **change.columns}
                change.unknown = (*(name for name in earlier.unknown if name not in change.unknown), *change.unknown)
            changes[change.id] = change
    return list(changes.values()), reasons


def _bulk_rows(value: bytes | None) -> list[msgspec.Raw] | None:
    """Return the rows of `Targets`, an `EntityCollection` or a plain list; None if it is neither."""
    if value is None or value[:1] not in (b"{", b"["):
        return None
    return _targets.decode(value).rows if value.startswith(b"{") else _rows.decode(value)


# --- one row ----------------------------------------------------------------------------------------------------------


def _change(context: Context, message: str, target: _Target | None, row: str, entity: str, event: Event) -> Change:
    """Return the change of one row. `row` is its id, empty if unknown. Raises `Rejected`."""
    # Without input parameters the event was cut because of its size: it shows only that the row has changed.
    truncated = context.inputs is None
    operation = _OPERATIONS.get(message)
    columns, unknown = _columns(target) if target is not None else ({}, ())
    # A delete needs no target. Other changes have their values in the target alone.
    complete = target is not None or (operation == "delete" and not truncated)
    if operation is None or _is_before_operation(context.stage) or not complete:
        operation, columns, unknown = "notify", {}, ()
    virtual = entity.startswith(_VIRTUAL)
    source: Source = "finance" if virtual or _has_business_members(context) else "dataverse"
    identifier = (rec_id(row) if virtual else None) or row
    if source == "finance" and not virtual:
        identifier = _finance_id(row, columns)
    if not identifier and operation != "notify":
        raise Rejected(f"the event names no row: {message} of {entity} without an id in PrimaryEntityId or Target")
    at = modified_time(columns)
    if at is None:
        at = _time(context)
    company = _company(context, columns, operation) if source == "finance" else None
    organization = clean(context.organization_name) or row_guid(context.organization)
    location = event.location
    evidence = Evidence(
        at,
        _version(target, columns),
        event.digest(),
        f"/{source}/{organization}",
        row_guid(context.operation) or row_guid(context.event),
        location.topic,
        location.partition,
        location.offset,
    )
    correlation = row_guid(context.correlation) or None
    change = Change(operation, source, entity, identifier, evidence, columns, company, correlation, truncated, unknown)
    if row != identifier:
        change.sent_id = row
    return change


def _time(context: Context) -> int:
    """Return the time of the operation, else of the business event. Raises `Rejected` if there is none."""
    at = operation_time(context.created)
    if at is None and _has_business_members(context):
        at = operation_time(context.event_time_iso)
        if at is None:
            at = operation_time(context.event_time)
    if at is None:
        members = "$.OperationCreatedOn" if context.event_time is None else "$.OperationCreatedOn or $.EventTime"
        time = context.created if context.event_time is None else context.event_time
        raise Rejected(
            f"the event cannot be ordered: {excerpt(time)} at {members} is no time, and the row has no modifiedon"
        )
    return at


def _company(context: Context, columns: dict[str, Any], operation: Operation) -> str | None:
    """The company of a Finance row: its own column, else the legal entity of the business event."""
    for name in COMPANY_COLUMNS:
        if name in columns:
            columns[COMPANY] = company = clean(columns[name]).upper() or None
            return company
    company = clean(context.legal_entity).upper() or None
    if company is not None and operation != "notify":
        columns[COMPANY] = company
    return company


def _finance_id(row: str, columns: dict[str, Any]) -> str:
    """The RecId of a Finance row of a data entity: its own column, else the RecId in a virtual row's guid, else the id
    as it came.
    """
    for name in REC_ID_COLUMNS:
        if number := parse_rec_id(columns.get(name)):
            return number
    return (rec_id(row) if row[8:19] == "-0000-0000-" else None) or row


def _is_before_operation(stage: object) -> bool:
    """Return True for stages 10 and 20, which run before the operation: it may not be committed."""
    if type(stage) is not int:
        text = clean(stage)
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            return False
        stage = int(text)
    return stage < _MAIN_OPERATION


def _target_id(target: _Target | None, entity: str) -> str:
    """Return the row id of a target, else that of its key column; empty if both are missing."""
    if target is None:
        return ""
    if identifier := row_guid(target.id):
        return identifier
    key = f"{entity}id"
    return next((row_guid(item.value) for item in reversed(target.attributes or ()) if item.key == key), "")


def _created_id(context: Context) -> str:
    """Return the id that a create assigned."""
    return row_guid(_output(context, "id"))


def _output_ids(context: Context) -> list[str]:
    """Return the ids that `CreateMultiple` assigned, in the order of its rows."""
    ids = _output(context, "Ids")
    return [row_guid(item) for item in ids] if type(ids) is list else []


def _output(context: Context, name: str) -> Any:
    if not isinstance(context.outputs, msgspec.Raw):
        return None
    try:
        return next((value for key, value in _pair_items(_pairs.decode(context.outputs)) if key == name), None)
    except NOT_JSON:
        return None


def _version(target: _Target | None, columns: dict[str, Any]) -> int:
    """Return the row version; 0 if unknown, as in most events."""
    if target is None:
        return 0
    for version in (target.version, columns.get("versionnumber")):
        text = clean(version)
        if text.isascii() and text.isdigit() and int(text) <= LARGEST_INTEGER:
            return int(text)
    return 0


# --- columns ----------------------------------------------------------------------------------------------------------


def _columns(target: _Target) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the columns of a target, and the names of those with values of an unknown kind, which stay unchanged."""
    columns: dict[str, Any] = {}
    unknown = []
    for attribute in target.attributes or ():
        value = attribute.value
        kind = type(value)
        if kind is str:
            value = normalize_text(value)
        elif kind is dict or kind is list:
            value, known = _object(value) if kind is dict else _list(value)
            if not known:
                unknown.append(attribute.key)
        columns[attribute.key] = value
    return columns, tuple(unknown)


def _object(value: dict[str, Any]) -> tuple[Any, bool]:
    """Decode an object. The flag is True if its kind is known."""
    kind = value.get("__type")
    if type(kind) is not str:
        return _untyped(value)
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
            return {"entity": value.get("LogicalName"), "id": row_guid(row) or None, "name": value.get("Name")}, True
    elif kind.startswith("DateTimeOffset:") and type(value.get("DateTime")) is str:
        return normalize_text(value["DateTime"]), True
    inner = unwrap_scalar(value)
    if inner is not value:
        return normalize_text(inner) if type(inner) is str else inner, True
    bare = {name: unwrap_scalar(member) for name, member in value.items()}
    if bare != value:
        inner, known = _object(bare)
        return (inner, True) if known else (value, False)
    return value, False


_REFERENCE: Final = frozenset(["Id", "LogicalName", "Name", "KeyAttributes", "RowVersion", "ExtensionData"])


def _untyped(value: dict[str, Any]) -> tuple[Any, bool]:
    """Decode a value that was serialised without `__type`: a choice, money or a lookup. The flag is False if it is none
    of these.
    """
    members = value.keys() - {"ExtensionData"}
    if members == {"Value"}:
        number = value["Value"]
        # The parser returns a number with a fraction as its digits: money. An integer may be a choice or money.
        if number is None or type(number) is int or (type(number) is str and _NUMBER.fullmatch(number)):
            return number, True
    elif members >= {"Id", "LogicalName"} and members <= _REFERENCE and type(value["Id"]) is str:
        return {"entity": value["LogicalName"], "id": row_guid(value["Id"]) or None, "name": value.get("Name")}, True
    return value, False


_NUMBER: Final = re.compile(r"-?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?", re.ASCII)


def _list(values: list[Any]) -> tuple[Any, bool]:
    """Decode a list. The flag is True if its kind is known: choices."""
    numbers = []
    for value in values:
        number, known = _object(value) if type(value) is dict else (None, False)
        if not known or type(number) is not int:
            return values, False
        numbers.append(number)
    return numbers, True
