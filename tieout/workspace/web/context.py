"""What every page of a company has around it: company, window, today, the time it was made, silent feeds, tabs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from threading import Lock
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from cachetools import TLRUCache
from starlette.requests import Request

from engine.calendar import Company, Window
from engine.errors import NoOpenPeriod, QueryError
from engine.events.facts import moment
from store.queries.snapshot import Reader, Snapshot
from streams.log import EventLog
from tieout.bootstrap import open_log
from tieout.settings import Settings
from tieout.sync.command_topic import TopicWriter
from tieout.sync.previews import Kind, obstacles
from tieout.worker.feed_status import Feed, companies_of, feeds_of
from tieout.worker.maps_in_force import MapsInForce
from tieout.workspace.web.locales import Locale, preferred

READY_SECONDS: Final = 30.0
"""How long it is taken as known that a sync may start; the confirmation asks anew."""
FAILED_SECONDS: Final = 3.0


def _until(_kind: Kind, reasons: list[str], now: float) -> float:
    """When the answer to whether a sync can start expires: reasons against it sooner, for somebody may remove them."""
    return now + (FAILED_SECONDS if reasons else READY_SECONDS)


class Workspace:
    """The store, the log, the settings and the way to ask for something, behind the pages. The log is opened when it
    is first asked for.
    """

    def __init__(self, reader: Reader, in_force: MapsInForce, settings: Settings, topic_writer: TopicWriter) -> None:
        self.reader = reader
        self.in_force = in_force
        self.settings = settings
        self.topic_writer = topic_writer
        self._lock = Lock()
        self._log: EventLog | None = None
        self._opened: Any = None
        self._obstacles: TLRUCache[Kind, list[str]] = TLRUCache(maxsize=8, ttu=_until)

    @property
    def log(self) -> EventLog:
        """The event log, for raw events, lag and rejected events. Raises `LogError` when it cannot be read."""
        with self._lock:
            if self._log is None:
                self._opened = open_log(self.settings, write=False)
                self._log = self._opened.__enter__()
            return self._log

    def obstacles(self, kind: Kind, *, fresh: bool = False) -> list[str]:
        """Why no sync can start (`tieout.sync.previews.obstacles`): asked of both systems now, or a moment ago unless
        it must be `fresh`.
        """
        with self._lock:
            reasons = self._obstacles.get(kind)
        if fresh or reasons is None:
            reasons = obstacles(self.settings, kind)
            with self._lock:
                self._obstacles[kind] = reasons
        return reasons

    def close(self) -> None:
        """Let go of the log."""
        with self._lock:
            if self._opened is not None:
                self._opened.__exit__(None, None, None)
                self._opened = self._log = None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What stands around a page. `problem` says why there is no window, and what to do."""

    companies: list[str]
    company: Company | None
    window: Window | None
    problem: str | None
    here: str
    """The address of the page, to load it again."""
    start: str
    end: str
    today: str
    today_set: bool
    as_of: datetime
    events: int
    locale: Locale
    zone: tzinfo
    zone_name: str
    feeds: list[Feed]
    unfit: str | None
    """Why the store and the maps of the workspace do not fit."""

    @property
    def dates(self) -> dict[str, str]:
        """The part of a query that keeps the window."""
        return {"from": self.start, "to": self.end}

    def dated(self, query: Mapping[str, str] | None = None) -> str:
        """The part of an address that keeps the window, with more."""
        found = {**self.dates, **(query or {})}
        text = urlencode({name: value for name, value in found.items() if value}, quote_via=quote)
        return f"?{text}" if text else ""

    @property
    def silent(self) -> list[Feed]:
        return [feed for feed in self.feeds if feed.silent]

    @property
    def code(self) -> str:
        """The company's code, '' where there is none."""
        return self.company.code if self.company else ""

    @property
    def currency(self) -> str | None:
        return self.company.currency if self.company else None


def workspace_of(request: Request) -> Workspace:
    """The workspace that a request is for."""
    found: Workspace = request.app.state.workspace
    return found


@contextmanager
def asked(request: Request) -> Iterator[Snapshot]:
    """One state of the store for all of a page."""
    with workspace_of(request).reader.snapshot() as snapshot:
        yield snapshot


def locale_of(request: Request) -> Locale:
    """How the reader's language writes numbers and dates."""
    return preferred(request.headers.get("accept-language", ""))


def frame(request: Request, snapshot: Snapshot, code: str | None, start: str = "", end: str = "") -> Frame:
    """What stands around a page of a company. Raises `QueryError` when there is no such company."""
    settings = workspace_of(request).settings
    companies = companies_of(snapshot, settings)
    company = snapshot.company(code) if code is not None else None
    today = snapshot.today(company) if company else snapshot.now.date()
    window = problem = None
    if company is not None:
        try:
            window = snapshot.window(company, start or None, end or None)
        except QueryError as error:
            text = f"{error.problem}, or select both dates above." if isinstance(error, NoOpenPeriod) else str(error)
            problem = text[:1].upper() + text[1:]
    where = snapshot.zone(company) if company else UTC
    return Frame(
        companies=companies,
        company=company,
        window=window,
        problem=problem,
        here=quote(request.url.path) + (f"?{request.url.query}" if request.url.query else ""),
        start=start,
        end=end,
        today=today.isoformat(),
        today_set=settings.today is not None,
        as_of=snapshot.now,
        events=sum(snapshot.offsets().values()),
        locale=locale_of(request),
        zone=where,
        zone_name="UTC" if where is UTC else str(where),
        feeds=feeds_of(snapshot, settings, where),
        unfit=workspace_of(request).in_force.mismatch,
    )


def age(at: int, now: datetime) -> str:
    """How long ago a moment was, in words."""
    seconds = (now - moment(at)).total_seconds()
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number:,} {name}{'' if number == 1 else 's'}"
    return "less than a minute"
