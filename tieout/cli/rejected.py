"""`tieout rejected`: lists, shows and resubmits events that could not be decoded (R7)."""

from typing import Annotated

import typer

from tieout.cli.common import FromOption, JsonOption, ToOption, examples, load_settings
from tieout.cli.output import counted, emit, plain

LIST_EXAMPLES = examples(
    "tieout rejected list",
    "tieout rejected list --reason 'in no map' --topic finance.changes",
    "tieout rejected list --from 2025-01-08 --limit 20 --after tieout.finance.changes/0/17",
    "tieout rejected list --json",
)
SHOW_EXAMPLES = examples("tieout rejected show tieout.finance.changes/0/17")
RESUBMIT_EXAMPLES = examples(
    "tieout rejected resubmit tieout.finance.changes/0/17",
    "tieout rejected resubmit --reason 'contoso_ticket' --yes",
    "tieout rejected resubmit --all",
)

LISTED = 100

app = typer.Typer(
    help="List, show and resubmit events that could not be decoded.",
    epilog=examples(
        "tieout rejected list",
        "tieout rejected show tieout.finance.changes/0/17",
        "tieout rejected resubmit tieout.finance.changes/0/17",
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)
IdArgument = typer.Argument(metavar="ID", help="ID of the event, as in `tieout rejected list`.", show_default=False)


@app.command("list", epilog=LIST_EXAMPLES)
def list_(
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only events whose reason contains this text.", show_default=False),
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only events of this topic, such as finance.changes.", show_default=False),
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of events.", show_default="100; all with --json")
    ] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Start after this event.", show_default=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """List rejected events in the order of their rejection. Dates are those of the rejection, in UTC."""
    from tieout.bootstrap import open_log
    from tieout.cli.operation_tables import show_rejections
    from tieout.cli.text_tables import console
    from tieout.maintenance.rejected_topic import page, rejections

    if start is not None and end is not None and start > end:
        raise typer.BadParameter(f"{start} is after --to {end}.", param_hint="'--from'")
    settings = load_settings()
    with open_log(settings, write=False) as log:
        events = rejections(log, settings.prefix)
    listed, more = page(
        events,
        settings.prefix,
        reason=reason or "",
        topic=topic,
        start=start,
        end=end,
        after=after,
        limit=limit or (len(events) + 1 if as_json else LISTED),
    )
    if not as_json:
        show_rejections(console(), [event.as_json() for event in listed], more)
        return
    for event in listed:
        emit(event.as_json())


@app.command(epilog=SHOW_EXAMPLES)
def show(identifier: Annotated[str, IdArgument], as_json: JsonOption = False) -> None:
    """Show a rejected event: its reason, location, headers and bytes."""
    from tieout.bootstrap import open_log
    from tieout.cli.operation_tables import show_rejection
    from tieout.cli.text_tables import console
    from tieout.maintenance.rejected_topic import find

    settings = load_settings()
    with open_log(settings, write=False) as log:
        event = find(log, settings.prefix, identifier)
    if as_json:
        emit(event.as_json())
        return
    texts = {
        "key_text": None if event.key is None else event.key.decode("utf-8", "backslashreplace"),
        "headers_text": [(name, content.decode("utf-8", "backslashreplace")) for name, content in event.headers],
    }
    show_rejection(console(), {**event.as_json(), **texts}, _shown(event.value))


@app.command(epilog=RESUBMIT_EXAMPLES)
def resubmit(
    identifier: Annotated[str | None, IdArgument] = None,
    everything: Annotated[bool, typer.Option("--all", help="All rejected events.")] = False,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="All events whose reason contains this text.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Resubmit rejected events to their topics, byte for byte, after you have corrected a map or a setting.

    The worker must run with the corrected maps. Resubmitted events leave the list; an event that still cannot be
    decoded returns to it.
    """
    from tieout.bootstrap import open_log
    from tieout.maintenance.rejected_topic import find, rejections, with_reason
    from tieout.maintenance.rejected_topic import resubmit as resubmit_events

    if sum((identifier is not None, everything, reason is not None)) != 1:
        raise typer.BadParameter("name one event, or use --all or --reason TEXT.")
    settings = load_settings()
    with open_log(settings, write=True) as log:
        if identifier is not None:
            selected = [find(log, settings.prefix, identifier)]
        else:
            selected = list(with_reason(rejections(log, settings.prefix), reason or ""))
            if selected and not yes:
                typer.confirm(f"Resubmit {counted(len(selected), 'event')}?", abort=True, err=True)
        number = resubmit_events(log, settings.prefix, selected)
    typer.echo(f"{counted(number, 'event')} resubmitted.", err=True)


def _shown(body: bytes | None) -> str:
    """Return bytes as lines of text, or as a hexadecimal dump if they are not UTF-8."""
    from tieout.presenters import hexadecimal

    if not body:
        return "(no bytes)"
    try:
        return "\n".join(plain(line) for line in body.decode().splitlines())
    except UnicodeDecodeError:
        return hexadecimal(body)
