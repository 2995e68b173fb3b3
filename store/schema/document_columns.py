"""The columns of the table `documents` that hold document fields, and the values of a document in them."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Column, Integer, Text
from sqlalchemy.sql.type_api import TypeEngine

from engine.reconciliation.documents import Amounts, Document
from engine.reconciliation.fields import FIELDS, ValueType

# Keys sort bytewise on both databases: pagination and the smallest key must not depend on a locale.
Key: Final[TypeEngine[str]] = Text().with_variant(Text(collation="C"), "postgresql")

_COLUMNS: Final = [field for field in FIELDS if field.stored]
_PLAIN: Final = [field for field in _COLUMNS if not field.part]
STORED: Final = (*_PLAIN, *(field for field in _COLUMNS if field.part))
"""The fields that are columns, in their order: the parts of amounts come last."""

_TYPES: Final[dict[ValueType, TypeEngine[Any]]] = {
    "key": Key,
    "text": Text(),
    "date": Text(),
    "decimal": Text(),
    "codes": Text(),
    "time": BigInteger(),
    "amount": BigInteger(),
    "flag": Integer(),
}


def document_columns() -> list[Column[Any]]:
    """Return the columns of `STORED`; the first is the primary key."""
    return [
        Column(
            field.column,
            _TYPES[field.type],
            primary_key=field is STORED[0],
            nullable=not field.required,
            comment=field.comment,
            server_default="0" if field.type == "flag" else None,
        )
        for field in STORED
    ]


_NO_AMOUNTS: Final = Amounts(None)


def _or_empty(value: str | None) -> str:
    return value or ""


def _joined(codes: tuple[str, ...]) -> str | None:
    return " ".join(codes) or None


_OF_TYPE: Final[dict[ValueType, Callable[[Any], Any]]] = {"flag": int, "codes": _joined}
_OF_REQUIRED: Final[dict[ValueType, Callable[[Any], Any]]] = dict.fromkeys(("key", "text", "date"), _or_empty)

# A row is made of every decided document, so attributes are read at once, and only those are visited that need it.
_plain_values: Final = attrgetter(*(field.source for field in _PLAIN))
_CONVERTED: Final = [
    (number, convert)
    for number, field in enumerate(_PLAIN)
    if (convert := _OF_TYPE.get(field.type) or (_OF_REQUIRED.get(field.type) if field.required else None))
]
_amounts: Final = attrgetter(*dict.fromkeys(field.source for field in _COLUMNS if field.part))


def stored_values(document: Document) -> list[Any]:
    """Return the values of a document in the order of `STORED`, as its columns have them."""
    values = list(_plain_values(document))
    for number, convert in _CONVERTED:
        values[number] = convert(values[number])
    for amounts in _amounts(document):
        values += msgspec.structs.astuple(amounts or _NO_AMOUNTS)
    return values


_NUMBERS: Final = {field.name: number for number, field in enumerate(STORED)}


def stored_value(name: str, document: Document) -> Any:
    """Return the value of a field in its column."""
    return stored_values(document)[_NUMBERS[name]]
