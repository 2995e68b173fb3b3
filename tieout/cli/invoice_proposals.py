"""`tieout proposals`: invoice proposals that wait, and for which postings (R56)."""

from typing import Annotated

import typer

from tieout.cli.common import JsonOption, examples, load_settings, open_snapshot
from tieout.cli.output import emit

EXAMPLES = examples("tieout proposals", "tieout proposals --company USPM --json")


def proposals(
    company: Annotated[
        str | None,
        typer.Option("--company", metavar="CODE", help="Only proposals of this company.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List invoice proposals of amount 0.00, each with the dates and amounts of the transactions to post."""
    with open_snapshot(load_settings()) as (snapshot, _):
        waiting = snapshot.proposals(None if company is None else snapshot.company(company).code)
    if as_json:
        for proposal in waiting:
            emit(proposal.as_json())
        return
    from tieout.cli.operation_tables import show_proposals
    from tieout.cli.text_tables import console

    show_proposals(console(), [proposal.as_json() for proposal in waiting])
