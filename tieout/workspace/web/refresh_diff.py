"""Changes since the previous load of a page, whose amounts are carried in the address."""

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from engine.events.facts import microseconds, moment
from engine.reconciliation.kinds import TILES
from store.queries.summary import Amount, Summary
from tieout.texts import Texts

_AMOUNTS: Final = len(TILES) + 2
_ENCODED: Final = re.compile(rf"\d{{1,17}}~\d{{1,17}}(~-?\d{{1,24}}\.\d{{1,12}}){{{_AMOUNTS}}}", re.ASCII)


class Change(msgspec.Struct, frozen=True):
    """Change of an amount."""

    caption: str
    amount: int
    documents: int


class Since(msgspec.Struct, frozen=True):
    """The changes since an earlier load, and the number of events applied since."""

    at: datetime
    changes: list[Change]
    events: int


def encode(summary: Summary, events: int) -> str:
    """Encode the current amounts for an address: time, events applied, then amount and number of each."""
    parts = (f"{one.amount}.{one.documents}" for one in _amounts(summary))
    return "~".join([str(microseconds(summary.as_of)), str(events), *parts])


def changes_since(was: str, summary: Summary, events: int, texts: Texts) -> Since | None:
    """Return the changes since the load that encoded `was`; None if `was` is invalid."""
    if not _ENCODED.fullmatch(was):
        return None
    at, before, *parts = was.split("~")
    changes = []
    for caption, now, part in zip(_captions(texts), _amounts(summary), parts, strict=True):
        amount, _, documents = part.partition(".")
        if now != Amount(int(amount), int(documents)):
            changes.append(Change(caption, now.amount - int(amount), now.documents - int(documents)))
    return Since(moment(int(at)).astimezone(UTC), changes, events - int(before))


def _amounts(summary: Summary) -> list[Amount]:
    return [*(summary.tiles[tile.name] for tile in TILES), summary.not_synced, summary.difference]


def _captions(texts: Texts) -> list[str]:
    """Return the captions of `_amounts`."""
    tiles = [texts.of_code(tile.name, tile.title) for tile in TILES]
    return [*tiles, texts.gettext("Not synced from Dataverse to Finance"), texts.gettext("Amount differences")]
