"""Ranges of record keys."""

from sqlalchemy import ColumnElement, and_

from store.schema import tables


def has_prefix(prefix: str) -> ColumnElement[bool]:
    """Return the condition of the records of an entity. `prefix` is that of its keys, which ends in a colon."""
    key = tables.records.c.key
    # A semicolon follows the colon.
    return and_(key >= prefix, key < prefix[:-1] + ";")
