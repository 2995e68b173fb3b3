"""Commands for those who run it: prepare an installation, look whether it is as it must be, back it up."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tieout.cli.common import JsonOption, examples, in_force
from tieout.cli.failures import complain
from tieout.cli.output import emit, plain

if TYPE_CHECKING:
    from tieout.maintenance.backup import Copied, Report
    from tieout.settings import Settings

MIGRATE_EXAMPLES = examples("tieout migrate", "tieout migrate --wait 0")


def migrate(
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for a server that is away.")
    ] = 60.0,
) -> None:
    """Make or upgrade the store and the topics, and say what was done. What is right is left alone."""
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

    from tieout.maintenance.migrate import prepare
    from tieout.worker.projecting import is_transient

    settings = in_force("info")
    attempts = Retrying(
        retry=retry_if_exception(is_transient),
        stop=stop_after_delay(wait),
        wait=wait_fixed(1.0),
        reraise=True,
    )
    for done in attempts(lambda: list(prepare(settings, patience_seconds=min(max(wait, 1.0), 10.0)))):
        typer.echo(done)


CHECK_EXAMPLES = examples("tieout check", "tieout check --json", "tieout check --unpin contoso")

_MARKS = {True: "ok", False: "FAULT", None: "-"}


def check(
    unpin: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Remove an environment that was pinned by mistake; the next one that an event names is pinned.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check settings, broker, topics, store and worker. Each line is ok or says what to do."""
    from engine.errors import SettingError
    from tieout.maintenance import health_checks

    if unpin is not None:
        _unpin(unpin)
        return

    lines = []
    try:
        settings = in_force()
        for line in health_checks.check(settings):
            lines.append(line)
            if not as_json:
                typer.echo(f"{_MARKS[line.ok]:<7} {line.check:<12} {plain(line.says)}")
    except SettingError as error:
        lines.append(health_checks.Line("settings", False, str(error)))
        if not as_json:
            typer.echo(f"{_MARKS[False]:<7} {'settings':<12} {plain(str(error))}")
    right = all(line.ok for line in lines)
    if as_json:
        emit({"ok": right, "checks": lines})
    if not right:
        raise typer.Exit(1)


def _unpin(name: str) -> None:
    from engine.errors import QueryError
    from store.operational import pins
    from tieout.bootstrap import open_store

    with open_store(in_force(), write=True) as engine:
        gone = pins.unpin(engine, name)
    if not gone:
        raise QueryError(f"{name!r} is not pinned; `tieout check` lists what is.")
    kinds = " and ".join(f"{kind} of {system}" for system, kind in gone)
    sys.stderr.write(
        f"{name} is no longer pinned as {kinds}. Workers know within seconds. Rows of its events stay until `tieout "
        "replay` rebuilds the store, once the right environment is pinned.\n"
    )


BACKUP_EXAMPLES = examples("tieout backup saved/monday")
RESTORE_EXAMPLES = examples("tieout restore saved/monday")

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False)]


def backup(folder: FolderArgument) -> None:
    """Copy an embedded log and a SQLite store into a folder while everything runs, and check the copies. PostgreSQL and
    Kafka have tools of their own.
    """
    from tieout.maintenance.backup import back_up

    _copy("Backing up", folder, back_up)


def restore(folder: FolderArgument) -> None:
    """Copy a backup to where the settings say that store and log are. What is there is left as it is: to go back to an
    earlier state, stop the worker and move the present files away first.
    """
    from tieout.maintenance.backup import restore as put_back

    _copy("Restoring", folder, put_back)


def _copy(title: str, folder: Path, do: "Callable[[Settings, Path, Report], Iterator[Copied]]") -> None:
    from tieout.cli.progress import bar
    from tieout.maintenance.backup import not_copied

    settings = in_force()
    with bar(title, None) as move:
        found = list(do(settings, folder, lambda what, done, total: move(done, total, what)))
    for one in found:
        if one.left:
            sys.stderr.write(f"{one.what}: {one.target} is there, and was left as it is\n")
        else:
            sys.stderr.write(f"{one.what}: {one.target}, {one.size / 1_000_000:,.1f} MB\n")
    if (rest := not_copied(settings)) is not None:
        sys.stderr.write(f"Not copied: {rest}\n")
    if all(one.left for one in found):
        complain("nothing was restored: stop the worker, move these files away, and restore again.")
        raise typer.Exit(1)
