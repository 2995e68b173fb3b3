"""`tieout journals`: the general journals that are not through to Dataverse, and a new round of attempts (R60-R63)."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import JsonOption, asking, examples, in_force
from tieout.cli.output import counted, emit

if TYPE_CHECKING:
    from engine.sync.attempts import Sync
    from tieout.settings import Settings
    from tieout.sync.general_journals import JournalStatus

EXAMPLES = examples(
    "tieout journals",
    "tieout journals --company USPM --all --json",
    "tieout journals sync USPM-000101",
    "tieout journals sync --all --yes --no-wait",
)

app = typer.Typer(
    help="List the general journals that are not through to Dataverse. Each with its count of five and what to do.",
    epilog=EXAMPLES,
    invoke_without_command=True,
    rich_markup_mode=None,
)

CompanyFilter = Annotated[
    str | None, typer.Option("--company", metavar="CODE", help="Only this company's.", show_default=False)
]


@app.callback()
def journals(
    context: typer.Context,
    company: CompanyFilter = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that are through, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the general journals that are not through to Dataverse. Each with its count of five and what to do."""
    if context.invoked_subcommand is not None:
        return
    settings = in_force()
    found = _known(settings, company, everything=everything)
    if not found and company is not None:
        with asking(settings) as (snapshot, _):
            snapshot.company(company)
    _show(found, as_json)


SYNC_EXAMPLES = examples(
    "tieout journals sync USPM-000101",
    "tieout journals sync USPM/USPM-000101 USPM/USPM-000102 --yes",
    "tieout journals sync --all --company USPM",
)


@app.command(epilog=SYNC_EXAMPLES)
def sync(
    numbers: Annotated[
        list[str] | None,
        typer.Argument(metavar="NUMBER...", help="Batch numbers; COMPANY/NUMBER for one that is not listed."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every journal that is not through.")] = False,
    company: CompanyFilter = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Show how it gets on, until each was tried once.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Begin a new round of five attempts for general journals, as pressing Sync does in Finance.

    Deleting what the error log says of one (`tieout errors delete`) begins a new round as well.
    """
    if bool(numbers) == everything:
        raise typer.BadParameter("name journals, or --all.", param_hint="'NUMBER...'")
    settings = in_force()
    _check(settings)
    chosen = _chosen(settings, numbers or [], company)
    if not chosen:
        typer.echo("Every general journal that is known is through.", err=True)
        return
    if not yes:
        typer.echo("\n".join(chosen), err=True)
        typer.confirm(f"Begin a new round for {counted(len(chosen), 'journal')}?", abort=True, err=True)
    _sync(settings, chosen, wait=wait, as_json=as_json)


def _check(settings: "Settings") -> None:
    """Raise `SettingError` where no handler would see to it."""
    from engine.errors import SettingError
    from tieout.sync.general_journals import NOT_CONFIGURED
    from tieout.worker.handling import ready

    reason = ready(settings) or (None if settings.process_journal else NOT_CONFIGURED)
    if reason is not None:
        raise SettingError(f"nothing was sent: {reason}.")


def _known(settings: "Settings", company: str | None, *, everything: bool) -> "list[JournalStatus]":
    from tieout.sync.general_journals import journal_statuses

    with asking(settings) as (snapshot, _):
        return journal_statuses(snapshot, company.upper() if company else None, everything=everything)


def _chosen(settings: "Settings", numbers: list[str], company: str | None) -> list[str]:
    """The journals, by company and number: those that are named, else all that are not through. Raises
    `QueryError` for a number of which nobody knows the company.
    """
    from engine.errors import QueryError
    from engine.sync.general_journals import name_of

    known = _known(settings, company, everything=bool(numbers))
    if not numbers:
        return [name_of(one.company, one.journal) for one in known]
    chosen = []
    for number in numbers:
        owner, slash, rest = number.rpartition("/")
        owners = [owner] if slash else [one.company for one in known if one.journal == number]
        if not owners and company is not None:
            owners = [company]
        if len(owners) != 1 or not rest:
            why = "several companies have it" if owners else "it is not listed by `tieout journals`"
            raise QueryError(f"of which company the journal {number!r} is, is not known: {why}. Name COMPANY/NUMBER.")
        chosen.append(name_of(owners[0].upper(), rest))
    return sorted(set(chosen))


def _sync(settings: "Settings", names: list[str], *, wait: bool, as_json: bool) -> None:
    from tieout.cli.sync import ask, until_over
    from tieout.sync.command_topic import current_user
    from tieout.sync.general_journals import request_journals

    with asking(settings) as (snapshot, _):
        request = request_journals(snapshot, names, current_user())
    asked = ask(settings, request)
    journals = counted(len(asked), "journal")
    typer.echo(f"A new round begins for {journals}; a worker with the role `handle` sees to it.", err=True)
    if not wait:
        return
    until_over(settings, asked, _tried)
    of = {name for name, _ in asked}
    known = [one for one in _known(settings, None, everything=True) if f"{one.company}/{one.journal}" in of]
    _show(known, as_json)
    if any(one.state != "through" for one in known):
        raise typer.Exit(1)


def _tried(sync: "Sync") -> bool:
    """Whether it was tried in its round: what failed is tried again in minutes, which nobody waits for."""
    state = sync.attempts.state
    return state not in ("waiting", "running") or (state == "waiting" and sync.attempts.made > 0)


def _show(found: "list[JournalStatus]", as_json: bool) -> None:
    told: list[dict[str, Any]] = [one.as_json() for one in found]
    if as_json:
        for line in told:
            emit(line)
        return
    from tieout.cli.text_tables import console, show_journals

    show_journals(console(), told)
