"""The entry point for reading a store: summary, grids, chains, errors. Each call sees one consistent snapshot and never
waits for the writer.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Final

import msgspec
from sqlalchemy import Connection, select, text

from engine.calendar import Company, Window, default_window, present_time, zone_of
from engine.chains.records import Record
from engine.chains.references import Directory
from engine.errorlog.about_documents import subjects_of
from engine.errorlog.known_messages import recognise
from engine.errorlog.posting_periods import AUTOMATIC, advice
from engine.errorlog.prevalidation import Prevention
from engine.errors import NotFound, QueryError
from engine.events.facts import ProcessMessage, microseconds, row_id_of
from engine.events.notices import UnreadRows
from engine.mapping.compiler import Maps
from engine.reconciliation.documents import Document
from engine.reconciliation.grace import Moment
from engine.reconciliation.invoice_proposals import Proposal
from engine.reconciliation.kinds import Kind
from engine.reconciliation.ledger_accounts import LedgerAccounts
from engine.reconciliation.unlinked_actuals import possible_match
from engine.sync.attempts import Sync
from engine.sync.journal_obstacles import POSTED_WITH_JOURNAL, Journal
from engine.sync.refusals import Reason
from engine.texts import Translate, english
from store.errorlog import error_log
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.lease import Holder, lease_holder
from store.notices import waiting_rows
from store.operational.attempts import (
    Attempt,
    attempts_of,
    job_setting,
    queued,
    stopped_syncs,
    sync_counts,
    syncs_of,
)
from store.operational.inbox import count_queued
from store.operational.loops import LoopRun, last_runs
from store.operational.sync_runs import RunDocument, RunProgress, documents_of, run_of, runs_of
from store.projection.projection_cache import ProjectionCache, load_resident
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.queries import balance, grid_totals, grids, unmatched
from store.queries.account_queries import AccountQueries
from store.queries.balance import AgeBucket, CauseTotal, TrendDay, UnreconciledPart
from store.queries.blocked_journals import journal_obstacles
from store.queries.common import TotalsByView, decode_chain, document_of, totals_within
from store.queries.findings import LEDGER_DIFFERS, LooseFinding, loose_findings
from store.queries.fingerprints import InputFingerprint, input_fingerprints
from store.queries.grid_query import GridQuery
from store.queries.grid_totals import Group, GroupBy, TotalsByCurrency
from store.queries.invoice_proposals import waiting_proposals
from store.queries.left_alone import refusals
from store.queries.prevalidation import prevention
from store.queries.rows import ChainView, GridRow, Page, end_of_day, rows_of
from store.queries.summary import Summary, summarise, unreconciled_documents
from store.queries.unmatched import CHAINS_PER_PAGE, NotSynced, NotSyncedPage
from store.schema import tables
from store.schema.bulk_sql import chunks
from store.schema.key_ranges import has_prefix

_decode_record: Final = msgspec.msgpack.Decoder(Record).decode


class Snapshot(AccountQueries):
    """Queries that are all answered from one state of the store."""

    def __init__(
        self,
        connection: Connection,
        maps: Maps,
        today: date | None,
        now: datetime,
        delayed: frozenset[str],
        accounts: LedgerAccounts,
    ) -> None:
        self._connection = connection
        self._maps = maps
        self._today = today
        self.now = now
        self._delayed = delayed
        self._accounts = accounts
        self._ledgers = {}
        self._ledger_balances = {}
        self._state: ProjectionCache | None = None
        self._companies: list[str] | None = None
        self._window_totals: dict[tuple[str, Window], TotalsByView] = {}
        self._moment: Moment | None = None

    # --- companies and windows ---------------------------------------------------------------------------------------

    @property
    def directory(self) -> Directory:
        """Companies, currencies and calendars."""
        return self._resident.directory

    @property
    def _resident(self) -> ProjectionCache:
        if self._state is None:
            self._state = ProjectionCache(0, 0)
            load_resident(ReadYourWrites(self._connection, UncommittedWrites()), self._maps, self._state)
        return self._state

    def companies(self) -> list[str]:
        """Return the codes of all companies with documents or a row of Finance."""
        if self._companies is None:
            found = self._connection.execute(select(tables.totals.c.company).distinct()).scalars()
            self._companies = sorted({*self.directory.companies, *(code for code in found if code)})
        return self._companies

    def company(self, code: str) -> Company:
        """Return a company by its code, ignoring case. Raises `QueryError` with the known codes."""
        known = self.companies()
        if code.upper() not in known:
            if known:
                raise NotFound(
                    "there is no company %(code)r here; known are %(codes)s.", code=code, codes=", ".join(known)
                )
            raise NotFound(
                "there is no company %(code)r here: the store holds no documents yet. "
                "Ingest events and run the worker first.",
                code=code,
            )
        return self.directory.company(code.upper()) or Company(code.upper(), None, None, None, ())

    def today(self, company: Company) -> date:
        """Return the simulated date, else the date in the time zone of the company, else in UTC."""
        return self.now.astimezone(self.zone(company)).date() if self._today is None else self._today

    def zone(self, company: Company) -> tzinfo:
        """Return the time zone of the company, or UTC if unknown."""
        return zone_of(company) or UTC

    @property
    def present(self) -> datetime:
        """Time to which ages are computed: now, or the end of the simulated date."""
        return present_time(self._today, self.now)

    def window(self, company: Company, start: str | None, end: str | None) -> Window:
        """Return the requested window; missing dates are those of the default window (R30)."""
        if start is not None and end is not None:
            window = Window(start, end)
        elif start is not None:
            window = Window(start, self.today(company).isoformat())
        else:
            default = default_window(company, self.today(company))
            window = Window(default.start, end or default.end)
        if window.start > window.end:
            raise QueryError(
                "the window from %(start)s to %(end)s is empty: its start is after its end.",
                start=window.start,
                end=window.end,
            )
        return window

    @property
    def moment(self) -> Moment:
        """Inputs of causes and in-flight status that depend on time."""
        if self._moment is None:
            until = {row.source: row.until for row in self._connection.execute(select(tables.sources))}
            observations: dict[str, bool] = {}

            def observed(entity: str) -> bool:
                if entity not in observations:
                    observations[entity] = self._observed(entity)
                return observations[entity]

            unread = {waiting.entity: waiting.since for waiting in self.unread_rows()}
            now = None if self._today is not None else microseconds(self.now)
            self._moment = Moment(now, until, observed, unread, self._delayed)
        return self._moment

    def _observed(self, entity: str) -> bool:
        entity_map = self._maps.find(entity)
        if entity_map is None:
            return False
        query = select(tables.records.c.key).where(has_prefix(entity_map.prefix)).limit(1)
        return self._connection.execute(query).first() is not None

    # --- summary -----------------------------------------------------------------------------------------------------

    def summary(self, company: Company, window: Window) -> Summary:
        """Return the tiles of a company and a window."""
        return summarise(
            self._connection, company, window, self._totals_within(company.code, window), self.moment, self.now
        )

    def unreconciled_documents(self, company: Company, window: Window) -> dict[Kind, int]:
        """Return the number of unreconciled documents of a window by kind."""
        return unreconciled_documents(self._totals_within(company.code, window))

    def _totals_within(self, company: str, window: Window) -> TotalsByView:
        """Return the totals of a window, cached: the tiles and the footer of a grid are on one page."""
        if (company, window) not in self._window_totals:
            self._window_totals[company, window] = totals_within(self._connection, company, window)
        return self._window_totals[company, window]

    # --- grids -------------------------------------------------------------------------------------------------------

    def page(self, query: GridQuery) -> Page:
        """Return a page of a grid."""
        page = grids.page(self._connection, query)
        documents = page.documents
        return Page(
            self._grid_rows(documents),
            grids.page_key(documents[0], query.sort) if page.before and documents else None,
            grids.page_key(documents[-1], query.sort) if page.after and documents else None,
        )

    def rows(self, query: GridQuery) -> Iterator[GridRow]:
        """Yield all rows of a grid after `query.after`, page by page."""
        while True:
            page = self.page(query)
            yield from page.rows
            if page.after is None:
                return
            query = msgspec.structs.replace(query, after=page.after)

    def totals(self, query: GridQuery) -> TotalsByCurrency:
        """Return exact totals of all filtered rows by (currency, accounting currency)."""
        if query.filtered:
            return grid_totals.totals(self._connection, query)
        return grid_totals.totals_of_view(self._totals_within(query.company, query.window), query)

    def groups(self, query: GridQuery, by: GroupBy) -> list[Group]:
        """Return the filtered rows in groups, with totals."""
        return grid_totals.groups(self._connection, query, by)

    # --- charts ----------------------------------------------------------------------------------------------------

    def causes(self, company: Company, window: Window) -> list[CauseTotal]:
        """Return the unreconciled totals by cause, largest amount first."""
        return balance.causes(self._connection, company.code, window)

    def by_month(self, company: Company, window: Window) -> list[UnreconciledPart]:
        """Return the unreconciled totals by month, kind and view."""
        return balance.by_month(self._connection, company.code, window)

    def by_project(self, company: Company, window: Window) -> list[UnreconciledPart]:
        """Return the unreconciled totals by project, kind and view."""
        return balance.by_project(self._connection, company.code, window)

    def ageing(self, company: Company, window: Window) -> list[AgeBucket]:
        """Return the unreconciled totals by age at the end of the window."""
        return balance.ageing(self._connection, company.code, window)

    def trend(self, company: Company, window: Window) -> list[TrendDay]:
        """Return the unreconciled amount at the end of each day of the window."""
        return balance.trend(self._connection, company.code, window)

    # --- unmatched records -----------------------------------------------------------------------------------

    def not_synced(self, company: Company, after: str | None = None, chains: int = CHAINS_PER_PAGE) -> NotSyncedPage:
        """Return a page of actuals that did not reach Finance, of `chains` chains (R32)."""
        return unmatched.not_synced(self._connection, self._maps, self._resident, company.code, after, chains)

    def all_not_synced(self, company: Company) -> Iterator[NotSynced]:
        """Yield all of them, page by page."""
        page = self.not_synced(company)
        yield from page.rows
        while page.after is not None:
            page = self.not_synced(company, page.after)
            yield from page.rows

    def loose_findings(self, company: Company | None = None, code: str | None = None) -> Iterator[LooseFinding]:
        """Yield the findings without a document, by code and subject; of a company, and of rows without a company. The
        vouchers that differ from the ledger come last.
        """
        code_of_company = None if company is None else company.code
        yield from loose_findings(self._connection, self._maps, self._resident, self.moment, code_of_company, code)
        if code in (None, LEDGER_DIFFERS):
            for one in [company] if company is not None else [self.company(known) for known in self.companies()]:
                yield from self.ledger_findings(one)

    # --- state of the store --------------------------------------------------------------------------------------

    def offsets(self) -> dict[tuple[str, int], int]:
        """Return the committed offsets by topic and partition."""
        return {(row.topic, row.partition): row.next for row in self._connection.execute(select(tables.offsets))}

    def count_queued_commands(self, ids: Collection[str]) -> int:
        """Count those of these commands that are not applied yet."""
        return count_queued(self._connection, ids)

    def writer(self) -> Holder | None:
        """Return the current or last holder of the lease, or None."""
        return lease_holder(self._connection)

    def oldest_open(self, company: str | None = None) -> int | None:
        """Return the time since when the oldest unreconciled document has its status (microseconds since 1970 UTC)."""
        return balance.oldest_open(self._connection, company)

    def _grid_rows(self, documents: Sequence[Document]) -> list[GridRow]:
        return rows_of(self._connection, documents, self.moment, end_of_day(self._today, self.now))

    # --- one document ------------------------------------------------------------------------------------------------

    def chain(self, name: str) -> list[ChainView]:
        """Return the documents of a name (`USPM/000123`), usually one, with their chains. Raises `QueryError` if
        there is none.
        """
        table = tables.documents
        rows = self._connection.execute(
            select(table.c.key, tables.chains.c.body)
            .join(tables.chains, tables.chains.c.id == table.c.chain)
            .where(table.c.document.in_([name, _upper_company(name)]))
            .order_by(table.c.key)
        ).all()
        if not rows:
            raise NotFound(
                "there is no document %(name)r. A document is COMPANY/TRANSACTION-ID, as `tieout documents` shows it; "
                "a line that is neither approved nor posted in Finance has none.",
                name=name,
            )
        return [self._chain_view(row.key, row.body) for row in rows]

    def documents_named(self, names: Collection[str]) -> list[GridRow]:
        """Return the existing documents of these names, by name and key."""
        table = tables.documents
        rows_by_name: list[GridRow] = []
        for chunk in chunks(sorted(names), 500):
            rows = self._connection.execute(
                select(table.c.key, tables.chains.c.body)
                .join(tables.chains, tables.chains.c.id == table.c.chain)
                .where(table.c.document.in_(chunk))
                .order_by(table.c.document, table.c.key)
            )
            rows_by_name += self._grid_rows([document_of(row.body, row.key) for row in rows])
        return rows_by_name

    def _chain_view(self, key: str, body: bytes) -> ChainView:
        chain = decode_chain(body)
        found = self._connection.execute(select(tables.records.c.body).where(tables.records.c.key.in_(chain.members)))
        records = sorted((_decode_record(row.body) for row in found), key=lambda record: record.key)
        (row,) = self._grid_rows([document_of(body, key)])
        attempts = attempts_of(self._connection, row.document.document)
        findings = list(chain.findings)
        if differing := self._voucher_findings(chain, row.document):
            findings += differing
            codes = sorted({*row.document.findings, LEDGER_DIFFERS})
            row = msgspec.structs.replace(row, document=msgspec.structs.replace(row.document, findings=tuple(codes)))
        if row.matches:
            findings.append(possible_match(row.document, row.matches))
        reason = self.refusals([row], self.input_fingerprints([row.document], "")).get(key)
        errors = self._errors_about(row.document, records)
        in_the_way = self.in_the_way([row]).get(key, ())
        return ChainView(row, chain.id, records, findings, attempts, reason, errors, in_the_way)

    def _errors_about(self, document: Document, records: Collection[Record]) -> list[ErrorEntry]:
        """Return the current errors about a document or a row of its chain."""
        entities = self._maps.entities
        lines = [
            row_id_of(record.id)
            for record in records
            if record.entity in entities and entities[record.entity].role.name == "journal-line"
        ]
        subjects = subjects_of(document, records, lines)
        found = error_log.current_of(self._connection, subjects, microseconds(self.present))
        return [self._advised(entry, english) for entry in found]

    # --- sync ------------------------------------------------------------------------------------

    def input_fingerprints(self, documents: Collection[Document], settings: str) -> dict[str, InputFingerprint]:
        """Return the input fingerprints of documents by key. `settings` are those that the calls depend on."""
        return input_fingerprints(self._connection, self._maps, documents, settings)

    def refusals(self, rows: Collection[GridRow], inputs: Mapping[str, InputFingerprint]) -> dict[str, Reason]:
        """Return why Sync leaves documents alone, by key; nothing for the others. `inputs` are theirs, by key."""
        return refusals(self._connection, rows, {key: one.keys for key, one in inputs.items()}, self.moment)

    def in_the_way(self, rows: Collection[GridRow]) -> dict[str, tuple[str, ...]]:
        """Return the lines, by RecId, that keep the journals of documents from being posted, by key of the document;
        nothing for documents whose journal may be posted, or has not to be.
        """
        journals = {
            row.document.key: (row.document.company or "", row.document.journal)
            for row in rows
            if row.cause in POSTED_WITH_JOURNAL and row.document.journal is not None
        }
        found = self.journal_obstacles(set(journals.values()))
        return {key: found[journal] for key, journal in journals.items() if journal in found}

    def journal_obstacles(self, journals: Collection[Journal]) -> Mapping[Journal, tuple[str, ...]]:
        """Return the lines, by RecId, that keep these journals from being posted."""
        return journal_obstacles(self._connection, self._maps, self._resident, journals)

    def syncs(
        self, documents: Sequence[str] | None = None, *, action: str | None = None, without_done: bool = False
    ) -> list[Sync]:
        """Return the requested syncs of these documents, or of all. `action` restricts the action, `without_done` skips
        completed ones.
        """
        return syncs_of(self._connection, documents, action, without_done=without_done)

    def stopped(self, limit: int | None = None, *, without: str | None = None) -> list[Sync]:
        """Return the syncs that need attention: five calls failed, or throttled for too long; `without` one action."""
        return stopped_syncs(self._connection, limit, without=without)

    def sync_states(self) -> dict[tuple[str, str], int]:
        """Count the documents by sync state and action."""
        return sync_counts(self._connection)

    def queued(self, calls: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of these calls (action, subject) that are queued or running."""
        return queued(self._connection, calls)

    def run(self, run: str) -> RunProgress | None:
        """Return a sync run with its progress, or None."""
        return run_of(self._connection, run, microseconds(self.now))

    def runs(self, company: str, limit: int, *, by_person: bool | None = None) -> list[RunProgress]:
        """Return the last sync runs of a company, newest first."""
        return runs_of(self._connection, company, microseconds(self.now), limit, by_person=by_person)

    def run_documents(self, run: str, limit: int | None = None, skip: int = 0) -> list[RunDocument]:
        """Return the documents of a sync run, those that need a person first."""
        return documents_of(self._connection, run, microseconds(self.now), limit, skip)

    def loops(self) -> list[LoopRun]:
        """Return the last run of every worker loop, by name."""
        return last_runs(self._connection)

    def unread_rows(self) -> list[UnreadRows]:
        """Count the rows of each table with an open re-read request, the oldest request first (R5)."""
        return waiting_rows(self._connection)

    def last_job_day(self, job: str) -> str | None:
        """Return the last day (YYYY-MM-DD) for which a recurring job was claimed, or None."""
        table = tables.settings.c
        value = self._connection.execute(select(table.value).where(table.name == job_setting(job))).scalar()
        return None if value is None else str(value)

    def attempts(self, document: str) -> list[Attempt]:
        """Return every attempt for a document, newest first."""
        return attempts_of(self._connection, document)

    # --- invoice proposals --------------------------------------------------------------------------------------------

    def proposals(self, company: str | None = None) -> list[Proposal]:
        """Return the invoice proposals of amount 0.00 of a company, or of all, and what they wait for (R56)."""
        return waiting_proposals(self._connection, self._maps, company)

    # --- errors ------------------------------------------------------------------------------------------------------

    def error_log(self, query: ErrorQuery, translate: Translate = english) -> list[ErrorEntry]:
        """Return the most recent errors, newest first: current ones, or all (R52, R53). The advice is translated."""
        found = list(error_log.entries(self._connection, query, microseconds(self.present)))
        return [self._advised(entry, translate) for entry in found]

    def _advised(self, entry: ErrorEntry, translate: Translate) -> ErrorEntry:
        known = recognise(entry.message.text or "")
        if known.code not in AUTOMATIC or entry.message.company is None:
            return entry
        company = self.directory.company(entry.message.company)
        added = advice(known.code, known.parameters["date"], company, translate)
        return msgspec.structs.replace(entry, advice=added)

    def prevention(self, company: str | None = None) -> Prevention | None:
        """Return what Project actuals prevalidation would have prevented, by the current errors; None if nothing."""
        return prevention(self._connection, self._maps, company, microseconds(self.present))

    def projects_of_journals(self, company: str, journals: Collection[str]) -> dict[str, list[str]]:
        """Return, by journal, the projects of its documents that wait to be posted."""
        if not journals:
            return {}
        table = tables.documents.c
        rows = self._connection.execute(
            select(table.journal, table.project)
            # Literal, as in the partial index. Posted journals have no errors to show.
            .where(table.company == company, text("views & 2 <> 0"), table.journal.in_(sorted(journals)))
            .where(table.project.is_not(None))
            .distinct()
            .order_by(table.journal, table.project)
        )
        projects: dict[str, list[str]] = {}
        for journal, project in rows:
            projects.setdefault(journal, []).append(project)
        return projects

    def error_history(self, company: str | None, process: str, subject: str) -> list[ProcessMessage]:
        """Return every message about a subject, newest first."""
        return error_log.history(self._connection, company, process, subject)

    def reported(self, source: str, events: Collection[str]) -> set[str]:
        """Return those of a source's process messages, by id, that are in the error log."""
        return error_log.known_events(self._connection, source, events)


def _upper_company(name: str) -> str:
    company, slash, rest = name.partition("/")
    return company.upper() + slash + rest
