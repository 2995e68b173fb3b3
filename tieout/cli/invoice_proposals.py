"""`tieout proposals`: the invoice proposals that wait, and for which postings (R56)."""

from typing import Annotated

import typer

from tieout.cli.common import JsonOption, asking, examples, in_force
from tieout.cli.output import emit

EXAMPLES = examples("tieout proposals", "tieout proposals --company USPM --json")


def proposals(
    company: Annotated[
        str | None, typer.Option("--company", metavar="CODE", help="Only this company's.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the invoice proposals of amount 0.00, each with the dates and amounts of the transactions to post."""
    with asking(in_force()) as (snapshot, _):
        found = snapshot.proposals(None if company is None else snapshot.company(company).code)
    if as_json:
        for one in found:
            emit(one.as_json())
        return
    from tieout.cli.text_tables import console, show_proposals

    show_proposals(console(), [one.as_json() for one in found])
