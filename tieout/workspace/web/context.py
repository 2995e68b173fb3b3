"""The context of all pages of a company: dates, business date, snapshot time, open work, silent feeds, locale."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from threading import Lock
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from cachetools import TLRUCache, TTLCache
from starlette.requests import Request

from engine.calendar import Company, Window
from engine.errors import NoOpenPeriod, QueryError
from engine.events.facts import moment
from store.queries.reader import Reader
from store.queries.snapshot import Snapshot
from streams.log import EventLog
from tieout.access.identities import Right, local_identity
from tieout.bootstrap import open_log
from tieout.settings import Settings
from tieout.sync.command_topic import TopicWriter
from tieout.sync.previews import Kind, obstacles
from tieout.texts import Catalogues, Texts
from tieout.worker.feed_status import Feed, companies_of, feeds_of
from tieout.worker.maps_in_force import MapsInForce
from tieout.workspace.web.counts import Counts, count
from tieout.workspace.web.identity import identity_of, require, visible
from tieout.workspace.web.locales import Locale, languages, preferred
from tieout.workspace.web.sign_in import SignIn

READY_SECONDS: Final = 30.0
"""How long the readiness of a sync is cached; the confirmation checks again."""
FAILED_SECONDS: Final = 3.0
COUNTED_SECONDS: Final = 10.0
"""How long counts are cached while no event arrives: attempts and the time change them as well."""


def _until(_kind: Kind, reasons: list[str], now: float) -> float:
    """Return when a cached readiness expires: obstacles expire sooner, because they may be resolved."""
    return now + (FAILED_SECONDS if reasons else READY_SECONDS)


class Workspace:
    """Store, log, settings, command writer, sign-in and languages of the pages. The log is opened on first use."""

    def __init__(
        self,
        reader: Reader,
        in_force: MapsInForce,
        settings: Settings,
        topic_writer: TopicWriter,
        catalogues: Catalogues | None = None,
        sign_in: SignIn | None = None,
    ) -> None:
        self.catalogues = catalogues or Catalogues()
        self.reader = reader
        self.in_force = in_force
        self.settings = settings
        self.topic_writer = topic_writer
        self.sign_in = sign_in
        """The sign-in; None on a workspace of this machine alone."""
        self.local = local_identity()
        """Who acts without sign-in."""
        self._lock = Lock()
        self._log: EventLog | None = None
        self._opened: Any = None
        self._counts: TTLCache[tuple[str, Window | None, int], Counts] = TTLCache(maxsize=64, ttl=COUNTED_SECONDS)
        self._obstacles: TLRUCache[Kind, list[str]] = TLRUCache(maxsize=8, ttu=_until)

    @property
    def log(self) -> EventLog:
        """The event log, for raw events, lag and rejected events. Raises `LogError` if it cannot be read."""
        with self._lock:
            if self._log is None:
                self._opened = open_log(self.settings, write=False)
                self._log = self._opened.__enter__()
            return self._log

    def obstacles(self, kind: Kind, *, fresh: bool = False) -> list[str]:
        """Return why no sync can start (`tieout.sync.previews.obstacles`).

        The result is cached; `fresh` calls both systems again.
        """
        with self._lock:
            reasons = self._obstacles.get(kind)
        if fresh or reasons is None:
            reasons = obstacles(self.settings, kind)
            with self._lock:
                self._obstacles[kind] = reasons
        return reasons

    def counts(self, snapshot: Snapshot, company: Company, window: Window | None) -> Counts:
        """Return what is open in a company. The result is cached until the next event, and for `COUNTED_SECONDS`."""
        key = company.code, window, sum(snapshot.offsets().values())
        with self._lock:
            counts = self._counts.get(key)
        if counts is None:
            counts = count(snapshot, company, window)
            with self._lock:
                self._counts[key] = counts
        return counts

    def close(self) -> None:
        """Close the log and the sign-in."""
        if self.sign_in is not None:
            self.sign_in.close()
        with self._lock:
            if self._opened is not None:
                self._opened.__exit__(None, None, None)
                self._opened = self._log = None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Shared context of a page. `problem` is the reason for a missing window, with the remedy."""

    companies: list[str]
    company: Company | None
    window: Window | None
    problem: str | None
    here: str
    """The address of the page, for a refresh."""
    start: str
    end: str
    today: str
    today_set: bool
    as_of: datetime
    events: int
    locale: Locale
    texts: Texts
    zone: tzinfo
    zone_name: str
    feeds: list[Feed]
    counts: Counts
    unfit: str | None
    """Why the maps of the workspace do not fit the store."""

    @property
    def dates(self) -> dict[str, str]:
        """The dates as parameters of an address."""
        return {"from": self.start, "to": self.end}

    def dated(self, query: Mapping[str, str] | None = None) -> str:
        """Return the query of an address that keeps the dates, with further parameters."""
        parameters = {**self.dates, **(query or {})}
        text = urlencode({name: value for name, value in parameters.items() if value}, quote_via=quote)
        return f"?{text}" if text else ""

    @property
    def silent(self) -> list[Feed]:
        return [feed for feed in self.feeds if feed.silent]

    @property
    def code(self) -> str:
        """The company's code; '' without a company."""
        return self.company.code if self.company else ""

    @property
    def currency(self) -> str | None:
        return self.company.currency if self.company else None


def workspace_of(request: Request) -> Workspace:
    """Return the workspace of a request."""
    workspace: Workspace = request.app.state.workspace
    return workspace


def address_of(request: Request) -> str:
    """Return the address of a request on this server."""
    return quote(request.url.path) + (f"?{request.url.query}" if request.url.query else "")


@contextmanager
def open_snapshot(request: Request) -> Iterator[Snapshot]:
    """Open one snapshot of the store for all of a page."""
    with workspace_of(request).reader.snapshot() as snapshot:
        yield snapshot


def locale_of(request: Request) -> Locale:
    """Return the locale of the browser's preferred language."""
    return preferred(request.headers.get("accept-language", ""))


def texts_of(request: Request) -> Texts:
    """Return the texts in the browser's preferred language that has any."""
    tags = languages(request.headers.get("accept-language", ""))
    return workspace_of(request).catalogues.preferred(tags)


def make_frame(request: Request, snapshot: Snapshot, code: str | None, start: str = "", end: str = "") -> Frame:
    """Return the shared context of a page of a company. Raises `QueryError` if there is no such company, and
    `AccessDenied` for one that the identity of the request may not see.
    """
    settings = workspace_of(request).settings
    if code is not None:
        require(identity_of(request), Right.VIEW, code)
    companies = visible(request, companies_of(snapshot, settings))
    company = snapshot.company(code) if code is not None else None
    today = snapshot.today(company) if company else snapshot.now.date()
    window = problem = None
    if company is not None:
        try:
            window = snapshot.window(company, start or None, end or None)
        except QueryError as error:
            texts = texts_of(request)
            if isinstance(error, NoOpenPeriod):
                text = error.on_the_page(texts.of_code)
            else:
                text = error.translated(texts.of_code)
            problem = text[:1].upper() + text[1:]
    time_zone = snapshot.zone(company) if company else UTC
    return Frame(
        companies=companies,
        company=company,
        window=window,
        problem=problem,
        here=address_of(request),
        start=start,
        end=end,
        today=today.isoformat(),
        today_set=settings.today is not None,
        as_of=snapshot.now,
        events=sum(snapshot.offsets().values()),
        locale=locale_of(request),
        texts=texts_of(request),
        zone=time_zone,
        zone_name="UTC" if time_zone is UTC else str(time_zone),
        feeds=feeds_of(snapshot, settings, time_zone),
        counts=workspace_of(request).counts(snapshot, company, window) if company else Counts(),
        unfit=workspace_of(request).in_force.mismatch,
    )


def problem_text(error: Exception, texts: Texts) -> str:
    """Return the message of an error; that of a query in the reader's language."""
    return error.translated(texts.of_code) if isinstance(error, QueryError) else str(error)


def age(at: int, now: datetime, texts: Texts) -> str:
    """Return the time since a moment as text."""
    seconds = int((now - moment(at)).total_seconds())
    if (days := seconds // 86_400) > 0:
        return texts.ngettext("%(days)s day", "%(days)s days", days, days=format(days, ","))
    if (hours := seconds // 3_600) > 0:
        return texts.ngettext("%(hours)s hour", "%(hours)s hours", hours, hours=hours)
    if (minutes := seconds // 60) > 0:
        return texts.ngettext("%(minutes)s minute", "%(minutes)s minutes", minutes, minutes=minutes)
    return texts.gettext("less than a minute")
