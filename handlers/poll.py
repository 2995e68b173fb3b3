"""The initial load and the poller (R9): whole tables first, then what changed, page by page onto the change topics.

A page is sent before its cursor moves, so after a crash it is sent again, which counts once. Dataverse tells what
changed since last time; Finance does not, so each pass reads its tables anew.
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

PATIENCE_SECONDS: Final = 60.0
"""A system that asks for a longer wait is left for this pass: the tables of the other one must not wait behind it."""


class Table(msgspec.Struct, frozen=True):
    """A table to poll."""

    system: System
    entity: str

    @property
    def name(self) -> str:
        """The table in cursors."""
        return f"{self.system}/{self.entity}"


class Poller:
    """Reads tables into the change topics.

    `send` puts events onto a topic, and returns once they are safe there. `whole` are the systems of which every table
    that matters is among `tables`: only of those the heartbeat may say that all has been sent.
    """

    def __init__(
        self,
        finance: Finance,
        dataverse: Dataverse,
        cursors: Cursors,
        send: Callable[[Sequence[SourceEvent]], None],
        tables: Iterable[Table],
        *,
        whole: Iterable[System] = (),
    ) -> None:
        self._finance = finance
        self._dataverse = dataverse
        self._cursors = cursors
        self._send = send
        self._tables = tuple(tables)
        self._whole = tuple(whole)

    def once(self, on_page: Callable[[Cursor], None] = lambda cursor: None) -> list[Cursor]:
        """Read every table once, as far as it goes; `on_page` sees each step.

        A table that cannot be read keeps its fault in its cursor, and the others go on.
        """
        away: dict[System, str] = {}
        done = [self._table(table, on_page, away) for table in self._tables]
        for system in self._whole:
            self._say_complete(system)
        return done

    def _table(self, table: Table, on_page: Callable[[Cursor], None], away: dict[System, str]) -> Cursor:
        """Read a table; `away` are the systems that asked for a long wait in this pass, with what they said."""
        cursor = self._cursors.load(table.name) or Cursor(table=table.name)
        if table.system in away:
            return self._failed(table, cursor, away[table.system])
        try:
            try:
                cursor = self._pass(table, cursor, on_page)
            except Permanent as error:
                if cursor.link is None:
                    raise
                # A link that is too old, or that the system does not know any more.
                log.warning("poll_begins_anew", table=table.name, reason=str(error))
                cursor = self._pass(table, self._anew(table), on_page)
        except TargetError as error:
            if isinstance(error, Throttled) and (error.retry_after or 0.0) > PATIENCE_SECONDS:
                away[table.system] = str(error)
            return self._failed(table, cursor, str(error))
        return cursor

    def _failed(self, table: Table, cursor: Cursor, fault: str) -> Cursor:
        log.warning("poll_failed", table=table.name, error=fault)
        # As far as the pass got, it is kept.
        kept = self._cursors.load(table.name) or cursor
        cursor = msgspec.structs.replace(kept, fault=fault)
        self._cursors.save(cursor)
        return cursor

    def _anew(self, table: Table) -> Cursor:
        """The cursor of a table of which everything must be read again."""
        kept = self._cursors.load(table.name) or Cursor(table=table.name)
        return msgspec.structs.replace(kept, link=None, began=None)

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
        # A link needs no name: what is asked is in it.
        entity_set = api.entity_set(table.entity) if link is None else table.entity
        if isinstance(api, Dataverse):
            return api.changes(entity_set, since=link)
        return api.pages(entity_set, since=link)

    def _say_complete(self, system: System) -> None:
        """Say up to when everything of a system has been sent, when that is later than it was."""
        own = [self._cursors.load(table.name) for table in self._tables if table.system == system]
        known = [cursor.complete_until if cursor else None for cursor in own]
        told = self._cursors.load(system) or Cursor(table=system)
        if not known or None in known:
            return
        until = min(time for time in known if time is not None)
        if told.complete_until is None or until > told.complete_until:
            connection = (self._finance if system == "finance" else self._dataverse).connection
            self._send([heartbeat(system, connection.address.host, moment(until))])
            self._cursors.save(msgspec.structs.replace(told, complete_until=until))


def _events(table: Table, page: Page) -> Iterator[SourceEvent]:
    try:
        yield from events_of_page(table.system, table.entity, page.body, page.answered)
    except msgspec.DecodeError:
        raise Permanent(
            f"{table.entity}: the answer has no @odata.context, by which its rows are known. Ask for minimal "
            "metadata, or more."
        ) from None
