"""What a refresh tells: the tiles as they were when the page was made before, carried in the address."""

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from engine.changes import microseconds, moment
from store.summary import Amount, Summary

TILES: Final = (
    ("vendor_invoice_missing_journal_lines", "Vendor invoice missing journal lines"),
    ("vendor_invoice_missing_actuals", "Vendor invoice missing actuals"),
    ("expense_missing_journal_lines", "Expense missing journal lines"),
    ("expense_missing_actuals", "Expense missing actuals"),
)
"""The tiles in their order, with the captions of the workspace in Finance (R32)."""


class Change(msgspec.Struct, frozen=True):
    """By how much a tile changed."""

    caption: str
    amount: int
    documents: int


class Since(msgspec.Struct, frozen=True):
    """What changed since an earlier page."""

    at: datetime
    changes: list[Change]


def told(summary: Summary) -> str:
    """The state of the tiles as short text for an address: the time, then amount and number of each."""
    tiles = [summary.tiles[name] for name, _ in TILES]
    return "~".join([str(microseconds(summary.as_of)), *(f"{tile.amount}.{tile.documents}" for tile in tiles)])


def since(was: str, summary: Summary) -> Since | None:
    """What changed since the page whose address said `was`; None when it said nothing that can be read."""
    if not re.fullmatch(r"\d{1,17}(~-?\d{1,24}\.\d{1,12}){4}", was, re.ASCII):
        return None
    at, *parts = was.split("~")
    changes = []
    for (name, caption), part in zip(TILES, parts, strict=True):
        amount, _, documents = part.partition(".")
        before, now = Amount(int(amount), int(documents)), summary.tiles[name]
        if now != before:
            changes.append(Change(caption, now.amount - before.amount, now.documents - before.documents))
    return Since(moment(int(at)).astimezone(UTC), changes)
