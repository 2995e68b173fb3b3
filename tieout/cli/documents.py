"""Commands that ask: the tiles, the grids, a chain."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tieout.cli.common import CompanyOption, FromOption, JsonOption, ToOption, asking, examples, in_force
from tieout.cli.output import emit

if TYPE_CHECKING:
    from engine.events.facts import Evidence
    from tieout.presenters import RawEvent
    from tieout.settings import Settings

KindName = Literal["expense", "vendor-invoice-line"]
ViewName = Literal["missing-actuals", "missing-journal-lines", "all", "reconciled"]

# What a person reads; a program gets every row.
ROWS_SHOWN = 100
ROWS_AT_ONCE = 1_000

SUMMARY_EXAMPLES = examples(
    "tieout summary --company USPM", "tieout summary --company USPM --from 2024-03-01 --to 2024-12-31 --json"
)


def summary(
    company: CompanyOption, start: FromOption = None, end: ToOption = None, as_json: JsonOption = False
) -> None:
    """Show the tiles of a company."""
    with asking(in_force()) as (snapshot, _):
        found = snapshot.company(company)
        told = snapshot.summary(found, snapshot.window(found, start, end)).as_json()
    if as_json:
        emit(told)
        return
    from tieout.cli.text_tables import console, show_summary

    show_summary(console(), told)


DOCUMENTS_EXAMPLES = examples(
    "tieout documents --company USPM",
    "tieout documents --company USPM --kind vendor-invoice-line --view missing-journal-lines",
    "tieout documents --company USPM --view all --from 2024-12-01 --to 2024-12-31 --json",
)


def documents(
    company: CompanyOption,
    kind: Annotated[KindName, typer.Option(help="The grid.")] = "expense",
    view: Annotated[ViewName, typer.Option(help="The view of the grid.")] = "missing-actuals",
    start: FromOption = None,
    end: ToOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"So many rows at most, 0 for all; by default {ROWS_SHOWN}, with --json all.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the documents of a grid, newest first."""
    from store.queries.grid_query import GridQuery

    if limit is None:
        limit = 0 if as_json else ROWS_SHOWN
    with asking(in_force()) as (snapshot, _):
        found = snapshot.company(company)
        query = GridQuery(
            company=found.code, kind=kind, view=view, window=snapshot.window(found, start, end), limit=ROWS_AT_ONCE
        )
        rows = snapshot.rows(query)
        if as_json:
            for row in islice(rows, limit or None):
                emit(row.as_json())
            return
        from tieout.cli.text_tables import console, show_documents

        shown = [row.as_json() for row in islice(rows, limit or None)]
        show_documents(console(), query, shown, snapshot.totals(query), more=next(rows, None) is not None)


CHAIN_EXAMPLES = examples("tieout chain USPM/USPM-PT000487", "tieout chain USPM/USPM-PT000487 --json --raw")


def chain(
    document: Annotated[
        str, typer.Argument(help="Company and transaction id, as `tieout documents` shows them.", show_default=False)
    ],
    raw: Annotated[bool, typer.Option("--raw", help="Show each event word for word, as it came.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a document with all its records. Where it stands and why, what to do, and the events that say so."""
    from tieout.presenters import chain_json

    settings = in_force()
    with asking(settings) as (snapshot, maps), _raw_events(settings, raw) as read:
        told = [chain_json(view, maps, snapshot.moment, read) for view in snapshot.chain(document)]
    if as_json:
        for one in told:
            emit(one)
        return
    from tieout.cli.text_tables import console, show_chain

    screen = console()
    for one in told:
        show_chain(screen, one)


@contextmanager
def _raw_events(settings: "Settings", wanted: bool) -> Iterator["RawEvent | None"]:
    """The way from an event's place to its bytes, when they are wanted."""
    if not wanted:
        yield None
        return
    from tieout.bootstrap import open_log

    with open_log(settings, write=False) as log:

        def read(evidence: "Evidence") -> str | None:
            found = log.read(evidence.topic, evidence.partition, evidence.offset, 1, 1)
            value = found[0].value if found and found[0].offset == evidence.offset else None
            return None if value is None else value.decode("utf-8", "backslashreplace")

        yield read
