"""`tieout log`: verifies the checksums of the embedded log, and salvages the undamaged records of a damaged one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tieout.cli.common import JsonOption, examples, load_settings
from tieout.cli.output import counted, emit, plain

if TYPE_CHECKING:
    from streams.embedded.salvage import LogState
    from tieout.settings import Settings

CHECK_EXAMPLES = examples("tieout log check", "tieout log check --json")
SALVAGE_EXAMPLES = examples("tieout log salvage salvaged.sqlite")

app = typer.Typer(
    help="Check the file of the embedded event log for damage, and salvage the undamaged records.",
    epilog=examples("tieout log check", "tieout log salvage salvaged.sqlite"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog=CHECK_EXAMPLES)
def check(as_json: JsonOption = False) -> None:
    """Verify the checksum of every block of the log, and report for each partition whether it is undamaged and from
    which offset it has checksums. Exits with 1 if records are damaged, and lists them. A worker may run meanwhile.
    """
    from streams.embedded.salvage import examine
    from tieout.cli.progress import bar

    path = _log_of(load_settings())
    with bar("Checking", None) as move:
        state = examine(path, lambda records: move(records, None, counted(records, "record")))
    _print(state, as_json)
    if not state.ok:
        if not as_json:
            sys.stdout.write(
                "\nThe log is damaged. Keep the file. "
                "`tieout log salvage FILE` writes the undamaged records to a new file.\n"
            )
        raise typer.Exit(1)


@app.command(epilog=SALVAGE_EXAMPLES)
def salvage(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File of the new log. It must not exist.", show_default=False)
    ],
    as_json: JsonOption = False,
) -> None:
    """Write the undamaged records of the log to a new file, and list the lost ones. The log is not changed.

    Offsets and identity stay the same, so a store continues with the new file at its committed offset. Each lost record
    is replaced by a marker, which a worker adds to the rejected events. Exits with 1 if records were lost. Stop the
    worker first.
    """
    from streams.embedded.salvage import salvage as write
    from tieout.cli.progress import bar

    path = _log_of(load_settings())
    with bar("Salvaging", None) as move:
        state = write(path, file, lambda records: move(records, None, counted(records, "record")))
    _print(state, as_json)
    if not as_json:
        whole = sum(partition.whole for partition in state.partitions)
        sys.stdout.write(
            f"\n{counted(whole, 'record')} written to {plain(str(file))}. Keep {plain(str(path))} unchanged, and set "
            "TIEOUT_BROKER to the new file. docs/operating.md describes the next steps.\n"
        )
    if not state.ok:
        raise typer.Exit(1)


def _log_of(settings: "Settings") -> Path:
    from engine.errors import QueryError

    if settings.log_file is None:
        raise QueryError(
            "TIEOUT_BROKER names a broker, and this command is for the file of an embedded log. Kafka has checksums of "
            "its own. Use `tieout check` to see whether its topics are those that the store was built from."
        )
    return settings.log_file


def _print(state: "LogState", as_json: bool) -> None:
    if as_json:
        emit({"ok": state.ok, **_as_json(state)})
        return
    from streams.embedded.blocks import offsets

    lines = [f"{'log':<7} {plain(state.path)}, identity {state.identity or 'none yet'}"]
    lines += [f"{'DAMAGED':<7} {plain(fault)}" for fault in state.faults]
    for partition in state.partitions:
        name = plain(f"{partition.topic}/{partition.partition}")
        checked = (
            "no checksums"
            if partition.checksums_from is None
            else f"checksums from offset {partition.checksums_from:,}"
        )
        lost = f", {counted(partition.lost, 'record')} lost before" if partition.lost else ""
        mark, whole = "DAMAGED" if partition.damaged else "ok", counted(partition.whole, "undamaged record")
        lines.append(f"{mark:<7} {name}  {whole}, {checked}{lost}")
        lines += [
            f"{'':<7} {name}  {offsets(damage.first, damage.end)}: {plain(damage.why)}" for damage in partition.damaged
        ]
    sys.stdout.write("\n".join(lines) + "\n")


def _as_json(state: "LogState") -> dict[str, object]:
    import msgspec

    return dict(msgspec.to_builtins(state))
