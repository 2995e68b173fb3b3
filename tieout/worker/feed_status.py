"""What an environment has, by its settings: its companies, and the sources that say how far they are complete."""

from datetime import datetime, timedelta, tzinfo
from typing import Final

import msgspec

from engine.events.facts import microseconds
from store.queries.snapshot import Snapshot
from tieout.settings import Settings

SILENT_AFTER: Final = timedelta(hours=1)
"""A source that sends heartbeats is called silent when its latest is older than this."""


class Feed(msgspec.Struct, frozen=True):
    """A source that sends heartbeats: known complete up to `until`, and whether that is too long ago."""

    source: str
    until: int
    silent: bool


def companies_of(snapshot: Snapshot, settings: Settings) -> list[str]:
    """The companies to choose from: those of the settings that are known, else all that are."""
    known = snapshot.companies()
    chosen = [code for code in known if settings.has(code)]
    return chosen or known


def feeds_of(snapshot: Snapshot, settings: Settings, where: tzinfo) -> list[Feed]:
    """The sources that send heartbeats. While today is set by hand, one is silent that has not reached this day."""
    if settings.today is None:
        least = microseconds(snapshot.now - SILENT_AFTER)
    else:
        day = settings.today
        least = microseconds(datetime(day.year, day.month, day.day, tzinfo=where))
    return [Feed(source, until, until < least) for source, until in sorted(snapshot.moment.until.items())]
