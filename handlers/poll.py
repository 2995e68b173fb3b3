"""The initial load and the poller (R9): publishes whole tables first, then changes, page by page, to the change topics.

A page is published before its cursor advances. After a crash it is published again, which is idempotent. Dataverse
supports change tracking; Finance does not, so each pass reads the tables of Finance completely.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec
import structlog

from engine.cursors import Cursor, Cursors
from engine.events.facts import microseconds, moment
from handlers.api.dataverse import Dataverse
from handlers.api.finance import Finance
from handlers.api.odata import Page
from handlers.change_events import SourceEvent, System, events_of_page, heartbeat
from handlers.errors import Permanent, TargetError, Throttled

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS_MAX: Final = 60.0
"""A system that demands a longer wait is skipped for this pass, so that it does not block the tables of the other."""


class Table(msgspec.Struct, frozen=True):
    """A table to poll: completely, or the rows of `where`, a condition of Finance or a function that asks for one.

    `selection` names the selected rows in cursors, so that other rows have been read only by a pass of their own. A
    heartbeat claims that the rows of `claimed` tables are complete.
    """

    system: System
    entity: str
    where: str | Callable[[Finance], str] = ""
    selection: str = ""
    claimed: bool = True

    @property
    def name(self) -> str:
        """The name of the table in cursors."""
        return f"{self.system}/{self.entity}" + (f"?{self.selection}" if self.selection else "")


class Poller:
    """Publishes the rows of tables to the change topics.

    `send` publishes events and returns once they are acknowledged. `complete` are the systems all of whose mapped
    tables are among `tables`: a heartbeat may be published for those only.
    """

    def __init__(
        self,
        finance: Finance,
        dataverse: Dataverse,
        cursors: Cursors,
        send: Callable[[Sequence[SourceEvent]], None],
        tables: Iterable[Table],
        *,
        complete: Iterable[System] = (),
    ) -> None:
        self._finance = finance
        self._dataverse = dataverse
        self._cursors = cursors
        self._send = send
        self._tables = tuple(tables)
        self._complete = tuple(complete)

    def once(self, on_page: Callable[[Cursor], None] = lambda cursor: None) -> list[Cursor]:
        """Read every table once and return its cursor; `on_page` is called after each page.

        The error of a table that cannot be read is saved in its cursor, and the next table is read.
        """
        throttled: dict[System, str] = {}
        cursors = [self._table(table, on_page, throttled) for table in self._tables]
        for system in self._complete:
            self._send_heartbeat(system)
        return cursors

    def _table(self, table: Table, on_page: Callable[[Cursor], None], throttled: dict[System, str]) -> Cursor:
        """Read a table; `throttled` are the systems that demanded a long wait in this pass, with their messages."""
        cursor = self._cursors.load(table.name) or Cursor(table=table.name)
        if table.system in throttled:
            return self._failed(table, cursor, throttled[table.system])
        try:
            try:
                cursor = self._pass(table, cursor, on_page)
            except Permanent as error:
                if cursor.link is None:
                    raise
                # The link is expired or no longer known to the system.
                log.warning("poll_begins_anew", table=table.name, reason=str(error))
                cursor = self._pass(table, self._reset(table), on_page)
        except TargetError as error:
            if isinstance(error, Throttled) and (error.retry_after or 0.0) > RETRY_AFTER_SECONDS_MAX:
                throttled[table.system] = str(error)
            return self._failed(table, cursor, str(error))
        return cursor

    def _failed(self, table: Table, cursor: Cursor, fault: str) -> Cursor:
        log.warning("poll_failed", table=table.name, error=fault)
        # The pages that the pass has published stay published.
        saved = self._cursors.load(table.name) or cursor
        cursor = msgspec.structs.replace(saved, fault=fault)
        self._cursors.save(cursor)
        return cursor

    def _reset(self, table: Table) -> Cursor:
        """Return the cursor of a table that must be read from its beginning."""
        saved = self._cursors.load(table.name) or Cursor(table=table.name)
        return msgspec.structs.replace(saved, link=None, began=None)

    def _pass(self, table: Table, cursor: Cursor, on_page: Callable[[Cursor], None]) -> Cursor:
        for page in self._pages(table, cursor.link):
            if page.rows:
                self._send(list(_events(table, page)))
            answered = microseconds(page.answered)
            rows = len(page.rows) + (cursor.rows if cursor.began is not None else 0)
            began = cursor.began if cursor.began is not None else answered
            if page.next:
                changed = {"link": page.next, "began": began, "rows": rows, "fault": ""}
            else:
                passes = cursor.passes + 1
                changed = {"link": page.delta, "began": None, "rows": rows, "fault": "", "passes": passes}
                changed["complete_until"] = began
            cursor = msgspec.structs.replace(cursor, **changed)
            self._cursors.save(cursor)
            on_page(cursor)
        return cursor

    def _pages(self, table: Table, link: str | None) -> Iterator[Page]:
        api = self._dataverse if table.system == "dataverse" else self._finance
        # A link contains the whole query, so the entity set is needed for the first page only.
        entity_set = api.entity_set(table.entity) if link is None else table.entity
        if isinstance(api, Dataverse):
            return api.changes(entity_set, since=link)
        where = "" if link is not None else table.where if isinstance(table.where, str) else table.where(api)
        return api.pages(entity_set, where=where, since=link)

    def _send_heartbeat(self, system: System) -> None:
        """Publish the watermark of a system, if it has advanced: all changes up to it have been published."""
        claimed = [table for table in self._tables if table.system == system and table.claimed]
        cursors = [self._cursors.load(table.name) for table in claimed]
        watermarks = [cursor.complete_until if cursor else None for cursor in cursors]
        last = self._cursors.load(system) or Cursor(table=system)
        if not watermarks or None in watermarks:
            return
        until = min(time for time in watermarks if time is not None)
        if last.complete_until is None or until > last.complete_until:
            connection = (self._finance if system == "finance" else self._dataverse).connection
            self._send([heartbeat(system, connection.address.host, moment(until))])
            self._cursors.save(msgspec.structs.replace(last, complete_until=until))


def _events(table: Table, page: Page) -> Iterator[SourceEvent]:
    try:
        yield from events_of_page(table.system, table.entity, page.body, page.answered)
    except msgspec.DecodeError:
        raise Permanent(
            f"{table.entity}: the response has no @odata.context, which identifies its rows. Request minimal metadata, "
            "or more."
        ) from None
