"""`tieout findings`: what is wrong with rows that belong to no document."""

from typing import Annotated

import typer

from tieout.cli.common import JsonOption, examples, load_settings, open_snapshot
from tieout.cli.output import emit

EXAMPLES = examples(
    "tieout findings", "tieout findings --company USPM --code orphan-in-dataverse", "tieout findings --json"
)


def findings(
    company: Annotated[
        str | None,
        typer.Option(
            "--company",
            metavar="CODE",
            help="Only findings of this company, and of rows whose company is unknown.",
            show_default=False,
        ),
    ] = None,
    code: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only findings of this code.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the findings without a document, each with what is missing and what to do."""
    from engine.errors import QueryError
    from engine.reconciliation.finding_texts import FINDINGS
    from tieout.presenters import loose_finding_json

    if code is not None and code not in FINDINGS:
        raise QueryError(f"there is no finding {code!r}; there are {', '.join(sorted(FINDINGS))}.")
    with open_snapshot(load_settings()) as (snapshot, _):
        selected = None if company is None else snapshot.company(company)
        lines = (loose_finding_json(finding) for finding in snapshot.loose_findings(selected, code))
        if as_json:
            for line in lines:
                emit(line)
            return
        from tieout.cli.operation_tables import show_findings
        from tieout.cli.text_tables import console

        show_findings(console(), list(lines))
