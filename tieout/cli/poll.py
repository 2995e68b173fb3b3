"""`tieout poll`: reads rows from the APIs of both systems onto the topics: an initial load, then changes."""

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tieout.cli.common import JsonOption, examples, load_settings
from tieout.cli.output import counted, emit, plain

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from engine.cursors import Cursor
    from handlers.change_events import SourceEvent
    from store.operational.cursors import SqlCursors
    from tieout.settings import Settings
    from tieout.sync.connectors import Connectors

EXAMPLES = examples("tieout poll", "tieout poll --every 300", "tieout poll --show", "tieout poll --anew")


def poll(
    every: Annotated[
        int | None,
        typer.Option(min=10, metavar="SECONDS", help="Poll at this interval until Ctrl-C.", show_default=False),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Read nothing; show how far each table has been read.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Read every table from its beginning.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read rows from Finance and Dataverse onto the topics: whole tables at first, then changes, and the rows of
    truncated events.

    A cursor for each table stores the progress. A table that cannot be read is reported with the reason; the others are
    read.
    """
    from store.operational.cursors import SqlCursors
    from tieout.bootstrap import open_store
    from tieout.sync.connectors import open_connectors

    settings = load_settings("info" if every else "warning")
    if show:
        with open_store(settings, write=False) as engine:
            _print(list(SqlCursors(engine).all()), as_json)
        return
    with open_store(settings, write=True) as engine:
        cursors = SqlCursors(engine)
        if anew:
            _reset(cursors)
        # One set of connectors for all passes, because a Retry-After may outlast a pass.
        with open_connectors(settings) as connectors:
            while every is not None:
                started = time.monotonic()
                _print(_try(settings, connectors, engine, every), as_json)
                _pause(every - (time.monotonic() - started))
            polled = _once(settings, connectors, engine)
            _print(polled, as_json)
    if any(cursor.fault for cursor in polled):
        raise typer.Exit(1)


def _reset(cursors: "SqlCursors") -> None:
    """Start the initial load of every polled table again. Cursors of re-read requests and of Synapse Link remain."""
    from msgspec.structs import replace

    for cursor in cursors.all():
        if not cursor.table.startswith(("commands/", "synapse/")):
            cursors.save(replace(cursor, link=None, began=None))


def _try(settings: "Settings", connectors: "Connectors", engine: "Engine", every: int) -> "list[Cursor]":
    """Poll once. A log or store that is not available is logged; the next pass is in `every` seconds."""
    import structlog
    from sqlalchemy.exc import DBAPIError

    from streams.log import LogError

    log = structlog.get_logger(__name__)
    try:
        return _once(settings, connectors, engine)
    except (LogError, DBAPIError) as error:
        # A worker may hold the embedded log, or a server may be restarting.
        log.warning("poll_waits", reason=str(error), seconds=every)
        return []


def _once(settings: "Settings", connectors: "Connectors", engine: "Engine") -> "list[Cursor]":
    from handlers.errors import Configuration
    from handlers.poll import Poller
    from handlers.row_refresh import RowReader
    from store.operational.cursors import SqlCursors
    from store.queries.ledger import named_accounts
    from streams.log import RecordTooLarge
    from tieout.bootstrap import load_maps, open_log
    from tieout.sync.command_topic import record_of
    from tieout.sync.connectors import completely_polled, polled_tables
    from tieout.sync.row_refresh import reread_rows

    maps = load_maps(settings)
    cursors = SqlCursors(engine)
    with engine.connect() as connection:
        accounts = named_accounts(connection, maps, settings.ledger_accounts)
    tables = polled_tables(settings, maps, accounts)
    with open_log(settings, write=True) as log:

        def send(events: "Sequence[SourceEvent]") -> None:
            try:
                log.append([record_of(event, settings.prefix) for event in events])
            except RecordTooLarge as error:
                # An error of one table, which must not stop the others.
                raise Configuration(f"A row is too large for its topic: {error}") from None

        poller = Poller(
            connectors.finance, connectors.dataverse, cursors, send, tables, complete=completely_polled(tables, maps)
        )
        polled = poller.once()
        reread = reread_rows(
            log, settings.prefix, RowReader(connectors.finance, connectors.dataverse), cursors, log.append
        )
        # Cursors of re-read requests are listed only if they read rows or failed.
        return [*polled, *(cursor for cursor in reread if cursor.rows or cursor.fault)]


def _pause(seconds: float) -> None:
    """Wait; Ctrl-C interrupts."""
    threading.Event().wait(max(0.0, seconds))


def _print(cursors: "list[Cursor]", as_json: bool) -> None:
    from engine.events.facts import iso

    for cursor in cursors:
        until = None if cursor.complete_until is None else iso(cursor.complete_until)
        if as_json:
            emit(
                {
                    "table": cursor.table,
                    "rows": cursor.rows,
                    "passes": cursor.passes,
                    "reading": cursor.began is not None,
                    "complete_until": until,
                    "fault": cursor.fault or None,
                }
            )
            continue
        state = f"{counted(cursor.rows, 'row')}, complete until {until or 'never'}"
        if cursor.table.startswith("commands/"):
            state = f"{counted(cursor.rows, 'row')} read again"
        if cursor.table.startswith("synapse/"):
            state = f"{counted(cursor.rows, 'row')} ingested in the last run"
        if cursor.began is not None:
            state = f"{counted(cursor.rows, 'row')} of an unfinished pass, complete until {until or 'never'}"
        typer.echo(f"{'FAULT' if cursor.fault else 'ok':<7} {cursor.table:<42} {plain(cursor.fault or state)}")
