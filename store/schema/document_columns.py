"""The columns of the table `documents`, and the row of a document."""

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
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
_STORED: Final = (*_PLAIN, *(field for field in _COLUMNS if field.part))
"""The fields that are columns, as `_stored_values` has them: the parts of amounts come last."""

# The columns in the order in which migrations added them, which is also that of the dump. Later columns follow.
_FIRST: Final = (
    *("key", "chain", "document", "company", "kind", "date", "views", "position", "excluded", "cause", "since"),
    *("currency", *Amounts.__struct_fields__),
    *("accounting_currency", *(f"accounting_{part}" for part in Amounts.__struct_fields__)),
    *("voucher", "project", "category", "vendor", "invoice", "journal"),
    *("project_name", "vendor_name", "line_number", "exchange_rate", "journal_line_amount", "journal_line_currency"),
    *("journal_voucher", "posted_date", "findings", "has_actual"),
)

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
    """Return the columns of the table `documents` in their order."""
    columns = [
        *(
            Column(
                field.column,
                _TYPES[field.type],
                primary_key=field.name == "key",
                nullable=not field.required,
                comment=field.comment,
                server_default="0" if field.type == "flag" else None,
            )
            for field in _STORED
        ),
        Column("chain", Key, nullable=False),
        Column("views", Integer, nullable=False, comment="Bit field of the views that contain the document"),
    ]
    return [columns[number] for number in _ORDER]


_NAMES: Final = (*(field.column for field in _STORED), "chain", "views")
_ORDER: Final = sorted(range(len(_NAMES)), key=lambda number: (*_FIRST, _NAMES[number]).index(_NAMES[number]))
_in_order: Final[Callable[[Sequence[Any]], tuple[Any, ...]]] = itemgetter(*_ORDER)

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


def document_row(document: Document, chain: str, views: int) -> tuple[Any, ...]:
    """Return the row of a document of a chain in the order of the columns; `views` are the views that contain it."""
    return _in_order([*_stored_values(document), chain, views])


def _stored_values(document: Document) -> list[Any]:
    values = list(_plain_values(document))
    for number, convert in _CONVERTED:
        values[number] = convert(values[number])
    for amounts in _amounts(document):
        values += msgspec.structs.astuple(amounts or _NO_AMOUNTS)
    return values


_NUMBERS: Final = {field.name: number for number, field in enumerate(_STORED)}


def stored_value(name: str, document: Document) -> Any:
    """Return the value of a field as its column has it."""
    return _stored_values(document)[_NUMBERS[name]]
