"""What a refresh tells: the amounts as they were when the page was made before, carried in the address."""

import re
from datetime import UTC, datetime

import msgspec

from engine.events.facts import microseconds, moment
from engine.reconciliation.documents import TILES
from store.queries.summary import Amount, Summary


class Change(msgspec.Struct, frozen=True):
    """By how much an amount changed."""

    caption: str
    amount: int
    documents: int


class Since(msgspec.Struct, frozen=True):
    """What changed since an earlier page: the amounts that did, and how many events were applied meanwhile."""

    at: datetime
    changes: list[Change]
    events: int


def told(summary: Summary, events: int) -> str:
    """The state of the amounts as short text for an address: the time, the events applied, then amount and number of
    each.
    """
    parts = (f"{one.amount}.{one.documents}" for _, one in _amounts(summary))
    return "~".join([str(microseconds(summary.as_of)), str(events), *parts])


def since(was: str, summary: Summary, events: int) -> Since | None:
    """What changed since the page whose address said `was`; None when it said nothing that can be read."""
    if not re.fullmatch(r"\d{1,17}~\d{1,17}(~-?\d{1,24}\.\d{1,12}){6}", was, re.ASCII):
        return None
    at, before, *parts = was.split("~")
    changes = []
    for (caption, now), part in zip(_amounts(summary), parts, strict=True):
        amount, _, documents = part.partition(".")
        if now != Amount(int(amount), int(documents)):
            changes.append(Change(caption, now.amount - int(amount), now.documents - int(documents)))
    return Since(moment(int(at)).astimezone(UTC), changes, events - int(before))


def _amounts(summary: Summary) -> list[tuple[str, Amount]]:
    return [
        *((tile.title, summary.tiles[tile.name]) for tile in TILES),
        ("Not synced from Dataverse to Finance", summary.not_synced),
        ("Amount differences", summary.difference),
    ]
