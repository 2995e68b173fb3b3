"""`tieout rejected`: what could not be understood, from the topic it was put on (R7)."""

from typing import Annotated

import typer

from tieout.cli.common import FromOption, JsonOption, ToOption, examples, in_force
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
    help="Look at the events that could not be understood, and send them again.",
    epilog=examples(
        "tieout rejected list",
        "tieout rejected show tieout.finance.changes/0/17",
        "tieout rejected resubmit tieout.finance.changes/0/17",
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)
IdArgument = typer.Argument(metavar="ID", help="As `tieout rejected list` shows it.", show_default=False)


@app.command("list", epilog=LIST_EXAMPLES)
def list_(
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only those whose reason contains this text.", show_default=False)
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only events of this topic, such as finance.changes.", show_default=False),
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many at most.", show_default="100; with --json all of them")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="The page that follows this event.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the rejected events in the order of their rejection. The dates are those of the rejection, in UTC."""
    from tieout.bootstrap import open_log
    from tieout.cli.text_tables import console, show_rejections
    from tieout.maintenance.rejected_topic import page, rejections

    if start is not None and end is not None and start > end:
        raise typer.BadParameter(f"{start} lies after --to {end}.", param_hint="'--from'")
    settings = in_force()
    with open_log(settings, write=False) as log:
        every = rejections(log, settings.prefix)
    found, more = page(
        every,
        settings.prefix,
        reason=reason or "",
        topic=topic,
        start=start,
        end=end,
        after=after,
        limit=limit or (len(every) + 1 if as_json else LISTED),
    )
    if not as_json:
        show_rejections(console(), [event.as_json() for event in found], more)
        return
    for event in found:
        emit(event.as_json())


@app.command(epilog=SHOW_EXAMPLES)
def show(identifier: Annotated[str, IdArgument], as_json: JsonOption = False) -> None:
    """Show a rejected event: the reason, where it stood, its headers and its bytes."""
    from tieout.bootstrap import open_log
    from tieout.cli.text_tables import console, show_rejection
    from tieout.maintenance.rejected_topic import find

    settings = in_force()
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
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="All whose reason contains this text.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put rejected events onto their topics again, byte for byte, once a map or a setting is mended.

    They are read under today's maps and leave the list; one that still cannot be understood comes back to it. The
    worker must run with the mended maps.
    """
    from tieout.bootstrap import open_log
    from tieout.maintenance.rejected_topic import alike, find, rejections
    from tieout.maintenance.rejected_topic import resubmit as send_again

    if sum((identifier is not None, everything, reason is not None)) != 1:
        raise typer.BadParameter("name one event, or --all, or --reason TEXT.")
    settings = in_force()
    with open_log(settings, write=True) as log:
        if identifier is not None:
            chosen = [find(log, settings.prefix, identifier)]
        else:
            chosen = list(alike(rejections(log, settings.prefix), reason or ""))
            if chosen and not yes:
                typer.confirm(f"Send {counted(len(chosen), 'event')} again?", abort=True, err=True)
        sent = send_again(log, settings.prefix, chosen)
    typer.echo(f"{counted(sent, 'event')} sent again.", err=True)


def _shown(body: bytes | None) -> str:
    """The bytes as text, line by line; in hexadecimal where they are none."""
    from tieout.presenters import hexadecimal

    if not body:
        return "(no bytes)"
    try:
        return "\n".join(plain(line) for line in body.decode().splitlines())
    except UnicodeDecodeError:
        return hexadecimal(body)
