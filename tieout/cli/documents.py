"""Queries of the store: `summary`, `documents`, `chain`."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from engine.reconciliation.kinds import Kind
from tieout.cli.common import CompanyOption, FromOption, JsonOption, ToOption, examples, load_settings, open_snapshot
from tieout.cli.output import emit

if TYPE_CHECKING:
    from engine.events.facts import Evidence
    from tieout.presenters import RawEvent
    from tieout.settings import Settings

ViewName = Literal["missing-actuals", "missing-journal-lines", "all", "reconciled"]

# The default limit for people; JSON output has every row.
ROWS_SHOWN = 100
ROWS_AT_ONCE = 1_000

SUMMARY_EXAMPLES = examples(
    "tieout summary --company USPM", "tieout summary --company USPM --from 2024-03-01 --to 2024-12-31 --json"
)


def summary(
    company: CompanyOption, start: FromOption = None, end: ToOption = None, as_json: JsonOption = False
) -> None:
    """Show the unreconciled amounts and the tiles of a company."""
    with open_snapshot(load_settings()) as (snapshot, _):
        selected = snapshot.company(company)
        totals = snapshot.summary(selected, snapshot.window(selected, start, end)).as_json()
    if as_json:
        emit(totals)
        return
    from tieout.cli.text_tables import console, show_summary

    show_summary(console(), totals)


DOCUMENTS_EXAMPLES = examples(
    "tieout documents --company USPM",
    "tieout documents --company USPM --kind vendor-invoice-line --view missing-journal-lines",
    "tieout documents --company USPM --view all --from 2024-12-01 --to 2024-12-31 --json",
)


def documents(
    company: CompanyOption,
    kind: Annotated[Kind, typer.Option(help="Document kind.")] = "expense",
    view: Annotated[ViewName, typer.Option(help="View: which documents to list.")] = "missing-actuals",
    start: FromOption = None,
    end: ToOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"Maximum number of rows, 0 for all. By default {ROWS_SHOWN}; all with --json.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the documents of a company, newest first, with their totals."""
    from store.queries.grid_query import GridQuery

    if limit is None:
        limit = 0 if as_json else ROWS_SHOWN
    with open_snapshot(load_settings()) as (snapshot, _):
        selected = snapshot.company(company)
        window = snapshot.window(selected, start, end)
        query = GridQuery(company=selected.code, kind=kind, view=view, window=window, limit=ROWS_AT_ONCE)
        rows = snapshot.rows(query)
        if as_json:
            for row in islice(rows, limit or None):
                emit(row.as_json())
            return
        from tieout.cli.text_tables import console, show_documents

        page = [row.as_json() for row in islice(rows, limit or None)]
        show_documents(console(), query, page, snapshot.totals(query), more=next(rows, None) is not None)


CHAIN_EXAMPLES = examples("tieout chain USPM/USPM-PT000487", "tieout chain USPM/USPM-PT000487 --json --raw")


def chain(
    document: Annotated[
        str, typer.Argument(help="Company and transaction id, as in `tieout documents`.", show_default=False)
    ],
    raw: Annotated[bool, typer.Option("--raw", help="Show the raw events, as received.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a document with its status, diagnosis and recommended action, its records and their source events."""
    from tieout.presenters import chain_json

    settings = load_settings()
    with open_snapshot(settings) as (snapshot, maps), _raw_events(settings, raw) as read:
        documents = [chain_json(view, maps, snapshot.moment, read) for view in snapshot.chain(document)]
    if as_json:
        for shown in documents:
            emit(shown)
        return
    from tieout.cli.text_tables import console, show_chain

    screen = console()
    for shown in documents:
        show_chain(screen, shown)


@contextmanager
def _raw_events(settings: "Settings", enabled: bool) -> Iterator["RawEvent | None"]:
    """Yield the function that reads the bytes of an event from the log, None unless `enabled`."""
    if not enabled:
        yield None
        return
    from tieout.bootstrap import open_log

    with open_log(settings, write=False) as log:

        def read(evidence: "Evidence") -> str | None:
            records = log.read(evidence.topic, evidence.partition, evidence.offset, 1, 1)
            value = records[0].value if records and records[0].offset == evidence.offset else None
            return None if value is None else value.decode("utf-8", "backslashreplace")

        yield read
