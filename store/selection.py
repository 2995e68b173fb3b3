"""Pieces of queries that several questions share: the window, exact sums, a document out of its chain."""

from typing import Final

import msgspec
from sqlalchemy import ColumnElement, func, literal_column, or_

from engine.calendar import Window
from engine.documents import Chain, Document

decode_chain: Final = msgspec.msgpack.Decoder(Chain).decode


def within(column: ColumnElement[str], window: Window) -> ColumnElement[bool]:
    """A document without a date is in every window: it must not vanish."""
    return or_(column.between(window.start, window.end), column == "")


def document_of(body: bytes, key: str) -> Document:
    return next(document for document in decode_chain(body).documents if document.key == key)


_LOW_BITS: Final = 20
_LOW_MASK: Final = (1 << _LOW_BITS) - 1


def exact_sum(column: ColumnElement[int]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """A sum as two sums of its high and low bits: neither can leave 64 bits, so none turns into a float or fails."""
    # Written out: PostgreSQL shifts by an integer, and a bound number would be a bigint.
    high, low = column.op(">>")(literal_column(str(_LOW_BITS))), column.op("&")(literal_column(str(_LOW_MASK)))
    return func.coalesce(func.sum(high), 0), func.coalesce(func.sum(low), 0)


def joined(high: int, low: int) -> int:
    return (int(high) << _LOW_BITS) + int(low)
