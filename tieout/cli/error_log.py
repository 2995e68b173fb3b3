"""`tieout errors`: lists, deletes and retries errors of Finance's processes (R50-R55, R58)."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain as chain_of
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import FromOption, JsonOption, ToOption, examples, load_settings, open_snapshot
from tieout.cli.output import emit

if TYPE_CHECKING:
    from store.errorlog.error_log import ErrorEntry, ErrorQuery
    from tieout.settings import Settings
    from tieout.sync.error_retry import Retry

EXAMPLES = examples(
    "tieout errors",
    "tieout errors --company USPM --from 2025-01-01",
    "tieout errors --history --subject USPM-000042 --json",
    "tieout errors --follow --json | alert",
)

app = typer.Typer(
    help="List the current errors of Finance's processes, each with its meaning and the recommended action.",
    epilog=EXAMPLES,
    invoke_without_command=True,
    rich_markup_mode=None,
)

CompanyFilter = Annotated[
    str | None, typer.Option("--company", metavar="CODE", help="Only errors of this company.", show_default=False)
]
ProcessFilter = Annotated[
    str | None, typer.Option("--process", metavar="NAME", help="Only errors of this process.", show_default=False)
]
CodeFilter = Annotated[
    str | None,
    typer.Option("--code", metavar="CODE", help="Only errors with this message code, or UNKNOWN.", show_default=False),
]
SubjectFilter = Annotated[
    str | None, typer.Option("--subject", metavar="NAME", help="Only errors of this subject.", show_default=False)
]
AllOption = Annotated[bool, typer.Option("--all", help="All current errors that meet the filters.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@app.callback()
def list_errors(
    context: typer.Context,
    company: CompanyFilter = None,
    process: ProcessFilter = None,
    code: CodeFilter = None,
    subject: SubjectFilter = None,
    start: FromOption = None,
    end: ToOption = None,
    history: Annotated[bool, typer.Option("--history", help="List past errors too, not only current ones.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of errors.")] = 100,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Then follow the errors topic: new errors, and changes of status."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the current errors of Finance's processes, each with its meaning and the recommended action."""
    if context.invoked_subcommand is not None:
        return
    if follow and end is not None:
        raise typer.BadParameter("--follow has no end date. Leave out one of the two options.", param_hint="'--to'")
    query = _query(company, process, code, subject, start, end, history=history, limit=limit)
    settings = load_settings()
    with _following(settings, query) if follow else nullcontext(()) as following:
        with open_snapshot(settings) as (snapshot, _):
            entries = snapshot.error_log(query)
            prevention = None if as_json else snapshot.prevention(query.company)
            if not entries and company is not None:
                snapshot.company(company)
        errors = [entry.as_json() for entry in entries]
        if as_json:
            for error in chain_of(reversed(errors) if follow else errors, following):
                emit(error)
                if follow:
                    sys.stdout.flush()
            return
        from tieout.cli.operation_tables import show_error, show_errors, show_prevention
        from tieout.cli.text_tables import console

        screen = console()
        show_errors(screen, errors, limit, history=history)
        if prevention is not None:
            show_prevention(screen, prevention)
        for error in following:
            show_error(screen, error)


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
    """Return the query of the filters. Raises `BadParameter` for a value that no error has."""
    from engine.errorlog.known_messages import CODES
    from engine.events.facts import PROCESSES
    from store.errorlog.error_log import ErrorQuery

    if start is not None and end is not None and start > end:
        raise typer.BadParameter(f"{start} is after --to {end}.", param_hint="'--from'")
    if process is not None and process not in PROCESSES:
        raise typer.BadParameter(
            f"{process!r} is not a process. Use one of {', '.join(PROCESSES)}.", param_hint="'--process'"
        )
    if code is not None and code not in CODES:
        raise typer.BadParameter(
            f"{code!r} is not a message code. Use one of {', '.join(CODES)}.", param_hint="'--code'"
        )
    return ErrorQuery(
        company=company, process=process, code=code, subject=subject, start=start, end=end, history=history, limit=limit
    )


@contextmanager
def _following(settings: "Settings", query: "ErrorQuery") -> Iterator[Iterator[dict[str, Any]]]:
    """Yield the records of the errors topic from now on that meet the filters: new errors and changes of status."""
    import threading

    import msgspec

    from streams.topics import ERRORS
    from tieout.bootstrap import open_log
    from tieout.maintenance import topic_reader

    filters = {
        "company": query.company and query.company.upper(),
        "process": query.process,
        "code": query.code,
        "subject": query.subject,
    }
    with open_log(settings, write=False) as log:
        name = ERRORS.full_name(settings.prefix)
        offsets = topic_reader.ends(log, name)

        def matching() -> Iterator[dict[str, Any]]:
            for record in topic_reader.following(log, name, offsets, threading.Event()):
                if record.value is not None:
                    error = msgspec.json.decode(record.value)
                    if all(value is None or error[member] == value for member, value in filters.items()):
                        yield error

        yield matching()


DELETE_EXAMPLES = examples(
    "tieout errors delete --subject USPM-000042 --why 'posted by hand'",
    "tieout errors delete --code NO_OPEN_PERIOD --company USPM --why 'period opened' --dry-run",
    "tieout errors delete --all --why 'start of the year' --yes",
)

ReasonOption = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="The reason, stored with the deletion.", show_default=False)
]


@app.command(epilog=DELETE_EXAMPLES)
def delete(
    why: ReasonOption,
    company: CompanyFilter = None,
    process: ProcessFilter = None,
    code: CodeFilter = None,
    subject: SubjectFilter = None,
    start: FromOption = None,
    end: ToOption = None,
    everything: AllOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be deleted, and change nothing.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete errors from the current list. The history keeps them with the time, the name and the reason.

    An error that occurs again is current again. Deleting an error of a general journal starts a new attempt cycle for
    it, as `tieout journals sync` does.
    """
    from tieout.cli.operation_tables import show_errors
    from tieout.cli.text_tables import console

    query = _current(company, process, code, subject, start, end, everything=everything)
    why = _not_empty(why, "--why")
    settings = load_settings()
    with open_snapshot(settings) as (snapshot, _):
        selected = snapshot.error_log(query)
    errors = [entry.as_json() for entry in selected]
    if as_json:
        for error in errors:
            emit(error)
    elif dry_run:
        show_errors(console(), errors, ALL_ERRORS, history=False)
    if dry_run or not selected:
        if not dry_run:
            typer.echo("No current error matches.", err=True)
        return
    _confirm_and_delete(settings, selected, why, yes=yes)


def _confirm_and_delete(settings: "Settings", selected: "Sequence[ErrorEntry]", why: str, *, yes: bool) -> None:
    """Send the deletions and wait for the worker; ask first unless `yes`. Reports to standard error."""
    from tieout.access.identities import local_name
    from tieout.bootstrap import open_reader
    from tieout.cli.output import counted
    from tieout.sync.command_topic import TopicWriter, deletion_commands, retried_journals, wait_until_applied

    journals = retried_journals(selected)
    retried = counted(len(journals), "general journal")
    if not yes:
        if journals:
            typer.echo(f"Deleting starts a new attempt cycle for {retried}.", err=True)
        typer.confirm(f"Delete {counted(len(selected), 'current error')}?", abort=True, err=True)
    sent = TopicWriter(settings).send(deletion_commands(selected, local_name(), why))
    number = counted(len(selected), "error")
    with open_reader(settings) as reader:
        applied = wait_until_applied(reader, sent)
    typer.echo(f"{number} deleted." if applied else f"{number} will be deleted by the worker.", err=True)
    if journals:
        typer.echo(f"A new attempt cycle starts for {retried}.", err=True)


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
    everything: AllOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")] = False,
    yes: YesOption = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show the progress and wait for the outcome.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Retry what failed, after you have corrected its cause: Import from staging, the posting of a journal if that is
    permitted, the sync of a general journal.

    When the retry succeeds, the error is no longer current.
    """
    from tieout.access.identities import local_name
    from tieout.cli.operation_tables import show_retries
    from tieout.cli.output import counted
    from tieout.cli.sync import check_ready, send_and_wait
    from tieout.cli.text_tables import console
    from tieout.sync.error_retry import plan, request

    query = _current(company, process, code, subject, start, end, everything=everything)
    settings = load_settings()
    with open_snapshot(settings) as (snapshot, _):
        retries = plan(snapshot, snapshot.error_log(query), settings)
        retry_request = request(snapshot, retries, local_name())
    lines = [_retry_line(planned) for planned in retries]
    if dry_run and as_json:
        for line in lines:
            emit(line)
        return
    if dry_run or not yes or not retry_request.tasks:
        show_retries(console(), lines, len(retry_request.tasks))
    if dry_run or not retry_request.tasks:
        return
    check_ready(settings)
    if not yes:
        typer.confirm(f"Start {counted(len(retry_request.tasks), 'call')}?", abort=True, err=True)
    send_and_wait(settings, retry_request, noun="error", wait=wait, as_json=as_json)


def _retry_line(planned: "Retry") -> dict[str, Any]:
    """Return the JSON of a planned retry: its action, or why it is skipped."""
    from engine.sync.actions import Skipped

    step = planned.step
    if isinstance(step, Skipped):
        action, reason = None, step.reason
    else:
        action, reason = "journal" if step is None else step.action, ""
    return {
        "error": planned.name,
        "process": planned.entry.message.process,
        "code": planned.entry.as_json()["code"],
        "action": action,
        "why": reason,
    }


ALL_ERRORS = 1_000_000_000
"""A limit that no number of errors reaches."""


def _current(*filters: str | None, everything: bool) -> "ErrorQuery":
    """Return the query of the current errors to change. Raises `BadParameter` without a filter and without --all."""
    if not everything and not any(filters):
        raise typer.BadParameter("name the errors by a filter, or use --all.")
    return _query(*filters, history=False, limit=ALL_ERRORS)


def _not_empty(text: str, option: str) -> str:
    if not text.strip():
        raise typer.BadParameter("the text is empty. Enter at least one character.", param_hint=f"'{option}'")
    return text.strip()
