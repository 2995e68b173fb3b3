"""`tieout journals`: general journals that are not synced to Dataverse, and a new attempt cycle for them (R60-R63)."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import JsonOption, examples, load_settings, open_snapshot
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
    help="List general journals that are not synced to Dataverse, with attempts and recommended action.",
    epilog=EXAMPLES,
    invoke_without_command=True,
    rich_markup_mode=None,
)

CompanyFilter = Annotated[
    str | None, typer.Option("--company", metavar="CODE", help="Only journals of this company.", show_default=False)
]


@app.callback()
def journals(
    context: typer.Context,
    company: CompanyFilter = None,
    everything: Annotated[bool, typer.Option("--all", help="List synced journals too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List general journals that are not synced to Dataverse, with attempts and recommended action."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    listed = _statuses(settings, company, everything=everything)
    if not listed and company is not None:
        with open_snapshot(settings) as (snapshot, _):
            snapshot.company(company)
    _show(listed, as_json)


SYNC_EXAMPLES = examples(
    "tieout journals sync USPM-000101",
    "tieout journals sync USPM/USPM-000101 USPM/USPM-000102 --yes",
    "tieout journals sync --all --company USPM",
)


@app.command(epilog=SYNC_EXAMPLES)
def sync(
    numbers: Annotated[
        list[str] | None,
        typer.Argument(metavar="NUMBER...", help="Journal numbers; COMPANY/NUMBER for a journal that is not listed."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All journals that are not synced.")] = False,
    company: CompanyFilter = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Show the progress and wait for the first attempt of each.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Start a new attempt cycle of five attempts for general journals, like *Sync* in Finance.

    Deleting an error of a journal (`tieout errors delete`) starts a new attempt cycle, too.
    """
    if bool(numbers) == everything:
        raise typer.BadParameter("name journals, or use --all.", param_hint="'NUMBER...'")
    settings = load_settings()
    _check(settings)
    names = _names(settings, numbers or [], company)
    if not names:
        typer.echo("All known general journals are synced.", err=True)
        return
    if not yes:
        typer.echo("\n".join(names), err=True)
        typer.confirm(f"Start a new attempt cycle for {counted(len(names), 'journal')}?", abort=True, err=True)
    _sync(settings, names, wait=wait, as_json=as_json)


def _check(settings: "Settings") -> None:
    """Raise `SettingError` if no handler would execute the request."""
    from engine.errors import SettingError
    from tieout.sync.general_journals import NOT_CONFIGURED
    from tieout.worker.handling import ready

    reason = ready(settings) or (None if settings.process_journal else NOT_CONFIGURED)
    if reason is not None:
        raise SettingError(f"nothing was sent: {reason}.")


def _statuses(settings: "Settings", company: str | None, *, everything: bool) -> "list[JournalStatus]":
    from tieout.sync.general_journals import journal_statuses

    with open_snapshot(settings) as (snapshot, _):
        return journal_statuses(snapshot, company.upper() if company else None, everything=everything)


def _names(settings: "Settings", numbers: list[str], company: str | None) -> list[str]:
    """Return COMPANY/NUMBER of the given journals, without numbers of all that are not synced.

    Raises `QueryError` for a number whose company cannot be determined.
    """
    from engine.errors import QueryError
    from engine.sync.general_journals import name_of

    known = _statuses(settings, company, everything=bool(numbers))
    if not numbers:
        return [name_of(status.company, status.journal) for status in known]
    names = []
    for number in numbers:
        owner, slash, rest = number.rpartition("/")
        owners = [owner] if slash else [status.company for status in known if status.journal == number]
        if not owners and company is not None:
            owners = [company]
        if len(owners) != 1 or not rest:
            reason = "several companies have this number" if owners else "`tieout journals` does not list it"
            raise QueryError(f"the company of journal {number!r} is not known: {reason}. Write COMPANY/NUMBER.")
        names.append(name_of(owners[0].upper(), rest))
    return sorted(set(names))


def _sync(settings: "Settings", names: list[str], *, wait: bool, as_json: bool) -> None:
    from tieout.access.identities import local_name
    from tieout.cli.sync import send_request, wait_until
    from tieout.sync.general_journals import request_journals

    with open_snapshot(settings) as (snapshot, _):
        request = request_journals(snapshot, names, local_name())
    requested = send_request(settings, request)
    number = counted(len(requested), "journal")
    typer.echo(f"A new attempt cycle starts for {number}. A worker with the role `handle` makes the calls.", err=True)
    if not wait:
        return
    wait_until(settings, requested, _is_attempted)
    journals = {name for name, _ in requested}
    every = _statuses(settings, None, everything=True)
    statuses = [status for status in every if f"{status.company}/{status.journal}" in journals]
    _show(statuses, as_json)
    if any(status.state != "through" for status in statuses):
        raise typer.Exit(1)


def _is_attempted(sync: "Sync") -> bool:
    """Return True after the first attempt of the cycle; the command does not wait for the next one, minutes later."""
    state = sync.attempts.state
    return state not in ("waiting", "running") or (state == "waiting" and sync.attempts.made > 0)


def _show(statuses: "list[JournalStatus]", as_json: bool) -> None:
    lines: list[dict[str, Any]] = [status.as_json() for status in statuses]
    if as_json:
        for line in lines:
            emit(line)
        return
    from tieout.cli.operation_tables import show_journals
    from tieout.cli.text_tables import console

    show_journals(console(), lines)
