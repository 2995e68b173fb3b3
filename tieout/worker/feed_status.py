"""The companies of an environment, and the status of its feeds."""

from datetime import datetime, timedelta, tzinfo
from typing import Final

import msgspec

from engine.events.facts import microseconds
from store.queries.snapshot import Snapshot
from tieout.settings import Settings

SILENT_AFTER: Final = timedelta(hours=1)
"""A source is silent if its watermark is older than this."""


class Feed(msgspec.Struct, frozen=True):
    """A source that sends heartbeats: its watermark `until`, in microseconds since 1970, and whether it is silent."""

    source: str
    until: int
    silent: bool


def companies_of(snapshot: Snapshot, settings: Settings) -> list[str]:
    """Return the companies in the store that the settings include; all companies in the store if they include none."""
    companies = snapshot.companies()
    return [code for code in companies if settings.has(code)] or companies


def feeds_of(snapshot: Snapshot, settings: Settings, where: tzinfo) -> list[Feed]:
    """Return the sources that send heartbeats. With a simulated business date, a source is silent if its watermark is
    before that date, in the time zone `where`.
    """
    if settings.today is None:
        least = microseconds(snapshot.now - SILENT_AFTER)
    else:
        day = settings.today
        least = microseconds(datetime(day.year, day.month, day.day, tzinfo=where))
    return [Feed(source, until, until < least) for source, until in sorted(snapshot.moment.until.items())]
