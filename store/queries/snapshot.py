"""What is read: summary, grids, chains, errors. Each call sees one consistent state and never waits for the writer."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sqlalchemy import Connection, Engine, select, text

from engine.calendar import Company, Window, default_window, present_time
from engine.chains.records import Record
from engine.chains.references import Directory
from engine.errorlog.known_messages import recognise
from engine.errorlog.posting_periods import AUTOMATIC, advice
from engine.errors import QueryError
from engine.events.facts import ProcessMessage, iso, microseconds
from engine.events.notices import UnreadRows
from engine.mapping.compiler import Maps
from engine.reconciliation.documents import Document, Finding
from engine.reconciliation.grace import Moment, in_flight, shown_cause, timed_findings
from engine.reconciliation.invoice_proposals import Proposal
from engine.serialization import document_json
from engine.sync.attempts import Sync
from store.errorlog import error_log
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.lease import Holder, lease_holder
from store.notices import waiting_rows
from store.operational.attempts import (
    Attempt,
    LastAttempt,
    attempts_of,
    job_setting,
    last_attempts,
    queued,
    stopped_syncs,
    sync_counts,
    syncs_of,
)
from store.operational.inbox import count_queued
from store.operational.loops import LoopRun, last_runs
from store.operational.sync_runs import RunDocument, RunProgress, documents_of, run_of, runs_of
from store.projection.batch_projection import ProjectionCache, load_resident
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.queries import balance, grids, unmatched
from store.queries.balance import AgeBucket, Balance, CauseTotal, TrendDay, UnreconciledPart
from store.queries.common import TotalsByView, decode_chain, document_of, totals_within
from store.queries.fingerprints import InputFingerprint, input_fingerprints
from store.queries.grids import GridQuery, Group, GroupBy, PageKey, TotalsByCurrency
from store.queries.invoice_proposals import waiting_proposals
from store.queries.summary import Summary, summarise
from store.queries.unmatched import CHAINS, NotSynced, NotSyncedPage, UnmatchedPosting
from store.schema import tables
from store.schema.bulk_sql import chunks

_decode_record: Final = msgspec.msgpack.Decoder(Record).decode


class GridRow(msgspec.Struct, frozen=True):
    """A document with the values that depend on the time of reading, and its sync attempts.

    `last_retried` is the time of the last attempt (microseconds since 1970 UTC) and `attempts` the number of attempts
    in the current attempt cycle; both are None if no sync was ever requested.
    """

    document: Document
    cause: str | None
    in_flight: bool
    timed: tuple[str, ...]
    last_retried: int | None = None
    attempts: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The fixed JSON of `tieout documents`."""
        findings = sorted({*self.document.findings, *self.timed})
        retried = None if self.last_retried is None else iso(self.last_retried)
        return {
            **document_json(self.document),
            "cause": self.cause,
            "in_flight": self.in_flight,
            "findings": findings,
            "last_retried": retried,
            "attempts": self.attempts,
        }


class Page(msgspec.Struct, frozen=True):
    """Rows of a grid. `before` and `after` are where the pages on both sides go on, None where there is none."""

    rows: list[GridRow]
    before: PageKey | None
    after: PageKey | None


class ChainView(msgspec.Struct, frozen=True):
    """A document with everything of its chain: the records, the findings, the chain's id; and every attempt to sync
    it, the newest first.
    """

    row: GridRow
    chain: str
    records: list[Record]
    findings: list[Finding]
    attempts: list[Attempt] = []


class Reader:
    """Answers questions about a store.

    `maps` are those to read the store by, or what finds them in its state (`tieout.worker.maps_in_force`). `today` is
    set by hand, or None for the date in the company's time zone; `clock` gives the moment of asking.
    """

    def __init__(
        self,
        engine: Engine,
        maps: Maps | Callable[[Connection], Maps],
        *,
        today: date | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._maps = maps
        self._today = today
        self._clock = clock

    @contextmanager
    def snapshot(self) -> Iterator["Snapshot"]:
        """One state of the store, for as many questions as belong together."""
        with self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                # READ COMMITTED would let each question see another state.
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                maps = self._maps if isinstance(self._maps, Maps) else self._maps(connection)
                yield Snapshot(connection, maps, self._today, self._clock())


class Snapshot:
    """The questions, all answered from one state."""

    def __init__(self, connection: Connection, maps: Maps, today: date | None, now: datetime) -> None:
        self._connection = connection
        self._maps = maps
        self._today = today
        self.now = now
        self._state: ProjectionCache | None = None
        self._companies: list[str] | None = None
        self._kept_within: dict[tuple[str, Window], TotalsByView] = {}
        self._moment: Moment | None = None

    # --- companies and windows ---------------------------------------------------------------------------------------

    @property
    def directory(self) -> Directory:
        """Companies, currencies, calendars."""
        return self._resident.directory

    @property
    def _resident(self) -> ProjectionCache:
        if self._state is None:
            self._state = ProjectionCache(0, 0)
            load_resident(ReadYourWrites(self._connection, UncommittedWrites()), self._maps, self._state)
        return self._state

    def companies(self) -> list[str]:
        """The codes of all companies that have documents or that Finance told of."""
        if self._companies is None:
            found = self._connection.execute(select(tables.totals.c.company).distinct()).scalars()
            self._companies = sorted({*self.directory.companies, *(code for code in found if code)})
        return self._companies

    def company(self, code: str) -> Company:
        """A company by its code, whatever the case. Raises `QueryError`, naming those there are."""
        known = self.companies()
        if code.upper() not in known:
            raise QueryError(
                f"there is no company {code!r} here; known are {', '.join(known)}."
                if known
                else f"there is no company {code!r} here: the store holds no documents yet. "
                "Ingest events and run the worker first."
            )
        return self.directory.company(code.upper()) or Company(code.upper(), None, None, None, ())

    def today(self, company: Company) -> date:
        """Today as the settings say, else the date in the company's time zone, else in UTC."""
        return self.now.astimezone(self.zone(company)).date() if self._today is None else self._today

    def zone(self, company: Company) -> tzinfo:
        """The company's time zone; UTC where it is not known."""
        try:
            return ZoneInfo(company.time_zone) if company.time_zone else UTC
        except (ZoneInfoNotFoundError, ValueError):
            return UTC

    @property
    def present(self) -> datetime:
        """The time that ages are counted to: now, or the end of the day that was set by hand."""
        return present_time(self._today, self.now)

    def window(self, company: Company, start: str | None, end: str | None) -> Window:
        """The window asked for; a date that is not named is the default's (R30)."""
        if start is not None and end is not None:
            window = Window(start, end)
        elif start is not None:
            window = Window(start, self.today(company).isoformat())
        else:
            default = default_window(company, self.today(company))
            window = Window(default.start, end or default.end)
        if window.start > window.end:
            raise QueryError(f"the window from {window.start} to {window.end} is empty: its start lies after its end.")
        return window

    @property
    def moment(self) -> Moment:
        """What is known of time, for causes and for what is in flight."""
        if self._moment is None:
            until = {row.source: row.until for row in self._connection.execute(select(tables.sources))}
            seen: dict[str, bool] = {}

            def observed(entity: str) -> bool:
                if entity not in seen:
                    seen[entity] = self._observed(entity)
                return seen[entity]

            unread = {one.entity: one.since for one in self.unread_rows()}
            now = None if self._today is not None else microseconds(self.now)
            self._moment = Moment(now, until, observed, unread)
        return self._moment

    def _observed(self, entity: str) -> bool:
        entity_map = self._maps.find(entity)
        if entity_map is None:
            return False
        key = tables.records.c.key
        prefix = entity_map.prefix
        return (
            self._connection.execute(select(key).where(key >= prefix, key < prefix[:-1] + ";").limit(1)).first()
            is not None
        )

    # --- summary -----------------------------------------------------------------------------------------------------

    def summary(self, company: Company, window: Window) -> Summary:
        """The tiles of a company and a window."""
        return summarise(self._connection, company, window, self._kept(company.code, window), self.moment, self.now)

    def _kept(self, company: str, window: Window) -> TotalsByView:
        """Tiles and the foot of a grid stand on one page."""
        if (company, window) not in self._kept_within:
            self._kept_within[company, window] = totals_within(self._connection, company, window)
        return self._kept_within[company, window]

    # --- grids -------------------------------------------------------------------------------------------------------

    def page(self, query: GridQuery) -> Page:
        """A page of a grid."""
        found = grids.page(self._connection, query)
        documents = found.documents
        return Page(
            self._rows(documents),
            grids.page_key(documents[0], query.sort) if found.before and documents else None,
            grids.page_key(documents[-1], query.sort) if found.after and documents else None,
        )

    def rows(self, query: GridQuery) -> Iterator[GridRow]:
        """All rows of a grid from `query.after` on, page by page."""
        while True:
            page = self.page(query)
            yield from page.rows
            if page.after is None:
                return
            query = msgspec.structs.replace(query, after=page.after)

    def sums(self, query: GridQuery) -> TotalsByCurrency:
        """Numbers and exact sums over all filtered rows, by (currency, accounting currency)."""
        if query.filtered:
            return grids.sums(self._connection, query)
        return grids.sums_of(self._kept(query.company, query.window), query)

    def groups(self, query: GridQuery, by: GroupBy) -> list[Group]:
        """The filtered rows in groups, with subtotals."""
        return grids.groups(self._connection, query, by)

    # --- pictures ----------------------------------------------------------------------------------------------------

    def causes(self, company: Company, window: Window) -> list[CauseTotal]:
        """What is unreconciled by cause, the largest amount first: what to do first."""
        return balance.causes(self._connection, company.code, window)

    def by_month(self, company: Company, window: Window) -> list[UnreconciledPart]:
        """What is unreconciled by month, kind and view."""
        return balance.by_month(self._connection, company.code, window)

    def by_project(self, company: Company, window: Window) -> list[UnreconciledPart]:
        """What is unreconciled by project, kind and view."""
        return balance.by_project(self._connection, company.code, window)

    def ageing(self, company: Company, window: Window) -> list[AgeBucket]:
        """What is unreconciled by age at the end of the window."""
        return balance.ageing(self._connection, company.code, window)

    def trend(self, company: Company, window: Window) -> list[TrendDay]:
        """The unreconciled amount at the end of each day of the window."""
        return balance.trend(self._connection, company.code, window)

    def balance(self, company: Company, window: Window) -> Balance:
        """What the balance of the integration accounts is made of (R37)."""
        return balance.balance(self._connection, company, window, self._maps, self._resident)

    # --- what one system has alone -----------------------------------------------------------------------------------

    def not_synced(self, company: Company, after: str | None = None, chains: int = CHAINS) -> NotSyncedPage:
        """The actuals that never reached Finance, those of so many chains on a page: what the summary counts (R32)."""
        return unmatched.not_synced(self._connection, self._maps, self._resident, company.code, after, chains)

    def all_not_synced(self, company: Company) -> Iterator[NotSynced]:
        """All of them, page by page."""
        page = self.not_synced(company)
        yield from page.rows
        while page.after is not None:
            page = self.not_synced(company, page.after)
            yield from page.rows

    def unmatched_postings(self, company: Company) -> Iterator[UnmatchedPosting]:
        """The postings without a document that the balance counts (R37), the last one first."""
        return unmatched.unmatched_postings(self._connection, self._maps, self._resident, company.code)

    # --- where the store stands --------------------------------------------------------------------------------------

    def offsets(self) -> dict[tuple[str, int], int]:
        """The next offset to read, by topic and partition."""
        return {(row.topic, row.partition): row.next for row in self._connection.execute(select(tables.offsets))}

    def count_queued_commands(self, ids: Collection[str]) -> int:
        """How many of these commands wait to be applied."""
        return count_queued(self._connection, ids)

    def writer(self) -> Holder | None:
        """Who holds the lease of the writer, or held it last; None when nobody ever did."""
        return lease_holder(self._connection)

    def oldest_open(self, company: str | None = None) -> int | None:
        """Since when the oldest document stands that is not reconciled, in microseconds since 1970."""
        return balance.oldest_open(self._connection, company)

    def _rows(self, documents: Sequence[Document]) -> list[GridRow]:
        known = last_attempts(self._connection, [document.document for document in documents])
        never = LastAttempt(None, None)
        return [
            GridRow(
                document,
                shown_cause(document, self.moment),
                in_flight(document, self.moment),
                timed_findings(document, self._end_of_today(document)),
                *msgspec.structs.astuple(known.get(document.document, never)),
            )
            for document in documents
        ]

    def _end_of_today(self, document: Document) -> int:
        if self._today is None:
            return microseconds(self.now)
        return microseconds(
            datetime(self._today.year, self._today.month, self._today.day, tzinfo=UTC) + timedelta(days=1)
        )

    # --- one document ------------------------------------------------------------------------------------------------

    def chain(self, name: str) -> list[ChainView]:
        """The documents of a name (`USPM/000123`) with their chains; mostly one. Raises `QueryError` when there is
        none.
        """
        table = tables.documents
        rows = self._connection.execute(
            select(table.c.key, tables.chains.c.body)
            .join(tables.chains, tables.chains.c.id == table.c.chain)
            .where(table.c.document.in_([name, _upper_company(name)]))
            .order_by(table.c.key)
        ).all()
        if not rows:
            raise QueryError(
                f"there is no document {name!r}. A document is COMPANY/TRANSACTION-ID, as `tieout documents` shows it; "
                "a line that is neither approved nor posted in Finance has none."
            )
        return [self._chain_view(row.key, row.body) for row in rows]

    def documents_named(self, names: Collection[str]) -> list[GridRow]:
        """The documents of these names that there are, by name and key."""
        table = tables.documents
        found: list[GridRow] = []
        for some in chunks(sorted(names), 500):
            rows = self._connection.execute(
                select(table.c.key, tables.chains.c.body)
                .join(tables.chains, tables.chains.c.id == table.c.chain)
                .where(table.c.document.in_(some))
                .order_by(table.c.document, table.c.key)
            )
            found += self._rows([document_of(row.body, row.key) for row in rows])
        return found

    def _chain_view(self, key: str, body: bytes) -> ChainView:
        chain = decode_chain(body)
        found = self._connection.execute(select(tables.records.c.body).where(tables.records.c.key.in_(chain.members)))
        records = sorted((_decode_record(row.body) for row in found), key=lambda record: record.key)
        (row,) = self._rows([document_of(body, key)])
        attempts = attempts_of(self._connection, row.document.document)
        return ChainView(row, chain.id, records, list(chain.findings), attempts)

    # --- what surrounds documents ------------------------------------------------------------------------------------

    def input_fingerprints(self, documents: Collection[Document], settings: str) -> dict[str, InputFingerprint]:
        """The input fingerprints of documents, by their keys. `settings` are those that what is done rests on."""
        return input_fingerprints(self._connection, self._maps, documents, settings)

    def syncs(
        self, documents: Sequence[str] | None = None, *, action: str | None = None, without_done: bool = False
    ) -> list[Sync]:
        """What is to be synced, or was, of these documents or of all; of one action if it is named.
        `without_done` leaves out what is done.
        """
        return syncs_of(self._connection, documents, action, without_done=without_done)

    def stopped(self, limit: int | None = None, *, without: str | None = None) -> list[Sync]:
        """What waits for a person: five calls failed, or it was throttled for too long; `without` one action."""
        return stopped_syncs(self._connection, limit, without=without)

    def sync_states(self) -> dict[tuple[str, str], int]:
        """How many documents wait, are attempted, are done, are blocked, wait for a person: by state and action."""
        return sync_counts(self._connection)

    def queued(self, calls: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these calls, by action and subject, that are queued or in progress."""
        return queued(self._connection, calls)

    def run(self, run: str) -> RunProgress | None:
        """A sync run with its progress; None when there is none of this id."""
        return run_of(self._connection, run, microseconds(self.now))

    def runs(self, company: str, limit: int, *, by_person: bool | None = None) -> list[RunProgress]:
        """The last sync runs of a company, the newest first."""
        return runs_of(self._connection, company, microseconds(self.now), limit, by_person=by_person)

    def run_documents(self, run: str, limit: int | None = None, skip: int = 0) -> list[RunDocument]:
        """The documents of a sync run, those first that need somebody."""
        return documents_of(self._connection, run, microseconds(self.now), limit, skip)

    def loops(self) -> list[LoopRun]:
        """The last turn of every loop of the workers, by name."""
        return last_runs(self._connection)

    def unread_rows(self) -> list[UnreadRows]:
        """How many rows of each table wait to be read again, the one that waits longest first (R5)."""
        return waiting_rows(self._connection)

    def last_job_day(self, job: str) -> str | None:
        """The last day (YYYY-MM-DD) for which a recurring job was done; None when no worker looked for it yet."""
        table = tables.settings.c
        value = self._connection.execute(select(table.value).where(table.name == job_setting(job))).scalar()
        return None if value is None else str(value)

    def attempts(self, document: str) -> list[Attempt]:
        """Every attempt for a document, the newest first."""
        return attempts_of(self._connection, document)

    # --- invoice proposals --------------------------------------------------------------------------------------------

    def proposals(self, company: str | None = None) -> list[Proposal]:
        """The invoice proposals of amount 0.00 of a company, or of all, and what they wait for (R56)."""
        return waiting_proposals(self._connection, self._maps, company)

    # --- errors ------------------------------------------------------------------------------------------------------

    def error_log(self, query: ErrorQuery) -> list[ErrorEntry]:
        """The most recent errors, newest first: those that are current, or all (R52, R53)."""
        found = list(error_log.entries(self._connection, query, microseconds(self.present)))
        return [self._advised(entry) for entry in found]

    def _advised(self, entry: ErrorEntry) -> ErrorEntry:
        known = recognise(entry.message.text or "")
        if known.code not in AUTOMATIC or entry.message.company is None:
            return entry
        company = self.directory.company(entry.message.company)
        return msgspec.structs.replace(entry, advice=advice(known.code, known.parameters["date"], company))

    def projects_of_journals(self, company: str, journals: Collection[str]) -> dict[str, list[str]]:
        """The projects of the documents that wait in journals to be posted."""
        if not journals:
            return {}
        table = tables.documents.c
        rows = self._connection.execute(
            select(table.journal, table.project)
            # Written out as in the partial index: journals that are posted have no errors to be shown.
            .where(table.company == company, text("views & 2 <> 0"), table.journal.in_(sorted(journals)))
            .where(table.project.is_not(None))
            .distinct()
            .order_by(table.journal, table.project)
        )
        found: dict[str, list[str]] = {}
        for journal, project in rows:
            found.setdefault(journal, []).append(project)
        return found

    def error_history(self, company: str | None, process: str, subject: str) -> list[ProcessMessage]:
        """Everything that was said of a subject, newest first."""
        return error_log.history(self._connection, company, process, subject)

    def reported(self, source: str, events: Collection[str]) -> set[str]:
        """Those of a source's process messages that have arrived in the error log, by their ids."""
        return error_log.known_events(self._connection, source, events)


def _upper_company(name: str) -> str:
    company, slash, rest = name.partition("/")
    return company.upper() + slash + rest
