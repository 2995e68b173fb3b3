"""`tieout log`: is the embedded log whole, and what is whole of one that is not."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tieout.cli.common import JsonOption, examples, in_force
from tieout.cli.output import counted, emit, plain

if TYPE_CHECKING:
    from streams.embedded.salvage import LogState
    from tieout.settings import Settings

CHECK_EXAMPLES = examples("tieout log check", "tieout log check --json")
SALVAGE_EXAMPLES = examples("tieout log salvage salvaged.sqlite")

app = typer.Typer(
    help="Look through the file of the embedded event log for damage, and save what is whole.",
    epilog=examples("tieout log check", "tieout log salvage salvaged.sqlite"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog=CHECK_EXAMPLES)
def check(as_json: JsonOption = False) -> None:
    """Hold every block of the log to its checksum, and say of each partition whether it is whole and from which offset
    on there are checksums. Damage is named with its records, and makes it end with 1. A worker may go on meanwhile.
    """
    from streams.embedded.salvage import examine
    from tieout.cli.progress import bar

    path = _log_of(in_force())
    with bar("Checking", None) as move:
        state = examine(path, lambda records: move(records, None, counted(records, "record")))
    _tell(state, as_json)
    if not state.ok:
        if not as_json:
            sys.stdout.write(
                "\nThe log is damaged. Keep the file; `tieout log salvage FILE` writes what is whole into a new one.\n"
            )
        raise typer.Exit(1)


@app.command(epilog=SALVAGE_EXAMPLES)
def salvage(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The new log's file, which must not exist.", show_default=False)
    ],
    as_json: JsonOption = False,
) -> None:
    """Write all that is whole of the log into a new file, and list what is not. The log itself is left as it is.

    Offsets and identity stay, so a store goes on with the new file where it stood. In the place of each lost record
    stands one that says so; a worker puts it among the rejected events. Ends with 1 when something was lost. Stop the
    worker first.
    """
    from streams.embedded.salvage import salvage as write
    from tieout.cli.progress import bar

    path = _log_of(in_force())
    with bar("Salvaging", None) as move:
        state = write(path, file, lambda records: move(records, None, counted(records, "record")))
    _tell(state, as_json)
    if not as_json:
        whole = sum(own.whole for own in state.partitions)
        sys.stdout.write(
            f"\n{counted(whole, 'record')} written to {plain(str(file))}. Keep {plain(str(path))} as it is, and have "
            "TIEOUT_BROKER name the new file: docs/operating.md says how to go on.\n"
        )
    if not state.ok:
        raise typer.Exit(1)


def _log_of(settings: "Settings") -> Path:
    from engine.errors import QueryError

    if settings.log_file is None:
        raise QueryError(
            "TIEOUT_BROKER names a broker, and this is about the file of an embedded log: Kafka keeps checksums of its "
            "own. `tieout check` says whether its topics are those that the store was filled from."
        )
    return settings.log_file


def _tell(state: "LogState", as_json: bool) -> None:
    if as_json:
        emit({"ok": state.ok, **_as_json(state)})
        return
    from streams.embedded.blocks import offsets

    said = [f"{'log':<7} {plain(state.path)}, identity {state.identity or 'none yet'}"]
    said += [f"{'DAMAGED':<7} {plain(fault)}" for fault in state.faults]
    for own in state.partitions:
        name = plain(f"{own.topic}/{own.partition}")
        checked = "no checksums" if own.checksums_from is None else f"checksums from offset {own.checksums_from:,}"
        lost = f", {counted(own.lost, 'record')} lost before" if own.lost else ""
        said.append(
            f"{'DAMAGED' if own.damaged else 'ok':<7} {name}  {counted(own.whole, 'whole record')}, {checked}{lost}"
        )
        said += [f"{'':<7} {name}  {offsets(one.first, one.end)}: {plain(one.why)}" for one in own.damaged]
    sys.stdout.write("\n".join(said) + "\n")


def _as_json(state: "LogState") -> dict[str, object]:
    import msgspec

    return dict(msgspec.to_builtins(state))
