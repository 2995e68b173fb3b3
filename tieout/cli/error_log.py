"""`tieout errors`: the error log of Finance's processes (R50-R55, R58)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain as chain_of
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import FromOption, JsonOption, ToOption, asking, examples, in_force
from tieout.cli.output import emit

if TYPE_CHECKING:
    from store.errorlog.error_log import ErrorQuery
    from tieout.settings import Settings

EXAMPLES = examples(
    "tieout errors",
    "tieout errors --company USPM --from 2025-01-01",
    "tieout errors --history --subject USPM-000042 --json",
    "tieout errors --follow --json | alert",
)

app = typer.Typer(
    help="List the errors of Finance's processes that are current. Each with what it means and what to do.",
    epilog=EXAMPLES,
    invoke_without_command=True,
    rich_markup_mode=None,
)

CompanyFilter = Annotated[
    str | None, typer.Option("--company", metavar="CODE", help="Only this company's.", show_default=False)
]
ProcessFilter = Annotated[
    str | None, typer.Option("--process", metavar="NAME", help="Only of this process.", show_default=False)
]
CodeFilter = Annotated[
    str | None, typer.Option("--code", metavar="CODE", help="Only this message, or UNKNOWN.", show_default=False)
]
SubjectFilter = Annotated[
    str | None, typer.Option("--subject", metavar="NAME", help="Only about this subject.", show_default=False)
]


@app.callback()
def errors(
    context: typer.Context,
    company: CompanyFilter = None,
    process: ProcessFilter = None,
    code: CodeFilter = None,
    subject: SubjectFilter = None,
    start: FromOption = None,
    end: ToOption = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every error that is kept, not only those that are current.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Then go on with those to come and what becomes of each, from the errors topic."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the errors of Finance's processes that are current. Each with what it means and what to do."""
    if context.invoked_subcommand is not None:
        return
    if follow and end is not None:
        raise typer.BadParameter("errors to come have no end.", param_hint="'--to'")
    query = _query(company, process, code, subject, start, end, history=history, limit=limit)
    settings = in_force()
    with _to_come(settings, query) if follow else nullcontext(()) as to_come:
        with asking(settings) as (snapshot, _):
            found = snapshot.error_log(query)
            if not found and company is not None:
                snapshot.company(company)
        told = [entry.as_json() for entry in found]
        if as_json:
            for one in chain_of(reversed(told) if follow else told, to_come):
                emit(one)
                if follow:
                    sys.stdout.flush()
            return
        from tieout.cli.text_tables import console, show_error, show_errors

        screen = console()
        show_errors(screen, told, limit, history=history)
        for one in to_come:
            show_error(screen, one)


def _query(
    company: str | None,
    process: str | None,
    code: str | None,
    subject: str | None,
    start: str | None,
    end: str | None,
    *,
    history: bool,
    limit: int,
) -> "ErrorQuery":
    """What is asked for. Raises `BadParameter` for what can never be found."""
    from engine.errorlog.known_messages import CODES
    from engine.events.facts import PROCESSES
    from store.errorlog.error_log import ErrorQuery

    if start is not None and end is not None and start > end:
        raise typer.BadParameter(f"{start} lies after --to {end}.", param_hint="'--from'")
    if process is not None and process not in PROCESSES:
        raise typer.BadParameter(f"{process!r} is none of {', '.join(PROCESSES)}.", param_hint="'--process'")
    if code is not None and code not in CODES:
        raise typer.BadParameter(f"{code!r} is none of {', '.join(CODES)}.", param_hint="'--code'")
    return ErrorQuery(
        company=company, process=process, code=code, subject=subject, start=start, end=end, history=history, limit=limit
    )


@contextmanager
def _to_come(settings: "Settings", query: "ErrorQuery") -> Iterator[Iterator[dict[str, Any]]]:
    """What comes onto the topic from now on: new errors, and those that stand elsewhere now, as they stand there."""
    import threading

    import msgspec

    from streams.topics import ERRORS
    from tieout.bootstrap import open_log
    from tieout.maintenance import topic_reader

    wanted = {
        "company": query.company and query.company.upper(),
        "process": query.process,
        "code": query.code,
        "subject": query.subject,
    }
    with open_log(settings, write=False) as log:
        name = ERRORS.full_name(settings.prefix)
        places = topic_reader.ends(log, name)

        def told() -> Iterator[dict[str, Any]]:
            for record in topic_reader.following(log, name, places, threading.Event()):
                if record.value is not None:
                    error = msgspec.json.decode(record.value)
                    if all(value is None or error[member] == value for member, value in wanted.items()):
                        yield error

        yield told()


DELETE_EXAMPLES = examples(
    "tieout errors delete --subject USPM-000042 --why 'posted by hand'",
    "tieout errors delete --code NO_OPEN_PERIOD --company USPM --why 'period opened' --dry-run",
    "tieout errors delete --all --why 'start of the year' --yes",
)


@app.command(epilog=DELETE_EXAMPLES)
def delete(
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, kept with the deletion.", show_default=False)],
    company: CompanyFilter = None,
    process: ProcessFilter = None,
    code: CodeFilter = None,
    subject: SubjectFilter = None,
    start: FromOption = None,
    end: ToOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every current error that the filters leave.")] = False,
    who: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who deletes; by default the user.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take errors off the current list. They stay in the history, with who deleted them, when and why.

    An error that comes again after this is current again. Deleting an error of a general journal begins a new round of
    attempts for it, as `tieout journals sync` does.
    """
    from tieout.bootstrap import open_reader
    from tieout.cli.output import counted
    from tieout.cli.text_tables import console, show_errors
    from tieout.sync.command_topic import (
        TopicWriter,
        current_user,
        deletion_commands,
        retried_journals,
        wait_until_applied,
    )

    query = _current(company, process, code, subject, start, end, everything=everything)
    why, who = _said(why, "--why"), _said(current_user() if who is None else who, "--who")
    settings = in_force()
    with asking(settings) as (snapshot, _):
        chosen = snapshot.error_log(query)
    told = [entry.as_json() for entry in chosen]
    if as_json:
        for one in told:
            emit(one)
    elif dry_run:
        show_errors(console(), told, EVERY, history=False)
    if dry_run or not chosen:
        if not dry_run:
            typer.echo("There is no such current error.", err=True)
        return
    journals = retried_journals(chosen)
    retried = counted(len(journals), "general journal")
    if not yes:
        if journals:
            typer.echo(f"Deleting begins a new round of attempts for {retried}.", err=True)
        typer.confirm(f"Delete {counted(len(chosen), 'current error')}?", abort=True, err=True)
    sent = TopicWriter(settings).send(deletion_commands(chosen, who, why))
    what = counted(len(chosen), "error")
    with open_reader(settings) as reader:
        done = wait_until_applied(reader, sent)
    typer.echo(f"{what} deleted." if done else f"{what} to be deleted: the worker does it.", err=True)
    if journals:
        typer.echo(f"A new round of attempts begins for {retried}.", err=True)


RETRY_EXAMPLES = examples(
    "tieout errors retry --subject USPM-000042 --dry-run",
    "tieout errors retry --code NO_OPEN_PERIOD --company USPM",
    "tieout errors retry --all --yes --no-wait",
)


@app.command(epilog=RETRY_EXAMPLES)
def retry(
    company: CompanyFilter = None,
    process: ProcessFilter = None,
    code: CodeFilter = None,
    subject: SubjectFilter = None,
    start: FromOption = None,
    end: ToOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every current error that the filters leave.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Show how it gets on, until all of it has ended.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Run again what ended in an error, once what it names is mended. Import from staging, the posting of a journal
    where that is permitted, the sync of a general journal.

    When the run goes well, the error is not current any more.
    """
    from engine.sync.actions import Skipped
    from tieout.cli.output import counted
    from tieout.cli.sync import carry_out, check_ready
    from tieout.cli.text_tables import console, show_retries
    from tieout.sync.command_topic import current_user
    from tieout.sync.error_retry import plan, request

    query = _current(company, process, code, subject, start, end, everything=everything)
    settings = in_force()
    with asking(settings) as (snapshot, _):
        retries = plan(snapshot.error_log(query), settings)
        wished = request(snapshot, retries, current_user())
    told = [
        {
            "error": one.name,
            "process": one.entry.message.process,
            "code": one.entry.as_json()["code"],
            "action": None if isinstance(one.step, Skipped) else "journal" if one.step is None else one.step.action,
            "why": one.step.reason if isinstance(one.step, Skipped) else "",
        }
        for one in retries
    ]
    if dry_run and as_json:
        for line in told:
            emit(line)
        return
    if dry_run or not yes or not wished.tasks:
        show_retries(console(), told, len(wished.tasks))
    if dry_run or not wished.tasks:
        return
    check_ready(settings)
    if not yes:
        typer.confirm(f"Start {counted(len(wished.tasks), 'call')}?", abort=True, err=True)
    carry_out(settings, wished, what="error", wait=wait, as_json=as_json)


EVERY = 1_000_000_000


def _current(*filters: str | None, everything: bool) -> "ErrorQuery":
    """The current errors that are to be changed. Raises `BadParameter` where nothing says which."""
    if not everything and not any(filters):
        raise typer.BadParameter("say which errors, by a filter, or --all.")
    return _query(*filters, history=False, limit=EVERY)


def _said(text: str, option: str) -> str:
    if not text.strip():
        raise typer.BadParameter("it is empty.", param_hint=f"'{option}'")
    return text.strip()
