"""Commands of an operator: `migrate`, `check`, `backup`, `restore`."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tieout.cli.common import JsonOption, examples, load_settings
from tieout.cli.failures import complain
from tieout.cli.output import emit, plain

if TYPE_CHECKING:
    from tieout.maintenance.backup import Copied, Report
    from tieout.settings import Settings

MIGRATE_EXAMPLES = examples("tieout migrate", "tieout migrate --wait 0")


def migrate(
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for a server that is not reachable.")
    ] = 60.0,
) -> None:
    """Create or upgrade the store and the topics, and report what was done. Safe to repeat."""
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

    from tieout.maintenance.migrate import prepare
    from tieout.worker.projecting import is_transient

    settings = load_settings("info")
    attempts = Retrying(
        retry=retry_if_exception(is_transient),
        stop=stop_after_delay(wait),
        wait=wait_fixed(1.0),
        reraise=True,
    )
    for line in attempts(lambda: list(prepare(settings, patience_seconds=min(max(wait, 1.0), 10.0)))):
        typer.echo(line)


CHECK_EXAMPLES = examples("tieout check", "tieout check --json", "tieout check --unpin contoso")

_MARKS = {True: "ok", False: "FAULT", None: "-"}


def check(
    unpin: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Remove an environment that was pinned by mistake. The next one that an event names is pinned.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check configuration, broker, topics, store and worker. Each line is ok, or tells what to do."""
    from engine.errors import SettingError
    from tieout.maintenance import health_checks

    if unpin is not None:
        _unpin(unpin)
        return

    results = []
    try:
        settings = load_settings()
        for result in health_checks.check(settings):
            results.append(result)
            if not as_json:
                typer.echo(f"{_MARKS[result.ok]:<7} {result.check:<12} {plain(result.says)}")
    except SettingError as error:
        results.append(health_checks.CheckResult("settings", False, str(error)))
        if not as_json:
            typer.echo(f"{_MARKS[False]:<7} {'settings':<12} {plain(str(error))}")
    passed = all(result.ok for result in results)
    if as_json:
        emit({"ok": passed, "checks": results})
    elif passed:
        typer.echo("All checks passed.")
    if not passed:
        raise typer.Exit(1)


def _unpin(name: str) -> None:
    from engine.errors import QueryError
    from store.operational import pins
    from tieout.bootstrap import open_store

    with open_store(load_settings(), write=True) as engine:
        removed = pins.unpin(engine, name)
    if not removed:
        raise QueryError(f"{name!r} is not pinned. `tieout check` lists the pinned environments.")
    kinds = " and ".join(f"{kind} of {system}" for system, kind in removed)
    sys.stderr.write(
        f"{name} is no longer pinned as {kinds}. Workers apply this within seconds. To remove the rows of its events, "
        "run `tieout replay` once the correct environment is pinned.\n"
    )


BACKUP_EXAMPLES = examples("tieout backup saved/monday")
RESTORE_EXAMPLES = examples("tieout restore saved/monday")

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False)]


def backup(folder: FolderArgument) -> None:
    """Copy an embedded log and a SQLite store to a folder while tieout runs, and check the copies. For PostgreSQL and
    Kafka, use their own tools.
    """
    from tieout.maintenance.backup import back_up

    _copy("Backing up", folder, back_up)


def restore(folder: FolderArgument) -> None:
    """Copy a backup to the configured location of store and log. Existing files are not overwritten: to return to an
    earlier state, stop the worker and move the existing files away first.
    """
    from tieout.maintenance.backup import restore as restore_files

    _copy("Restoring", folder, restore_files)


def _copy(title: str, folder: Path, do: "Callable[[Settings, Path, Report], Iterator[Copied]]") -> None:
    from tieout.cli.progress import bar
    from tieout.maintenance.backup import not_copied

    settings = load_settings()
    with bar(title, None) as move:
        copies = list(do(settings, folder, lambda what, done, total: move(done, total, what)))
    for copied in copies:
        if copied.left:
            sys.stderr.write(f"{copied.what}: {copied.target} exists and was not changed\n")
        else:
            sys.stderr.write(f"{copied.what}: {copied.target}, {copied.size / 1_000_000:,.1f} MB\n")
    if (rest := not_copied(settings)) is not None:
        sys.stderr.write(f"Not copied: {rest}\n")
    if all(copied.left for copied in copies):
        complain("nothing was restored. Stop the worker, move these files away, and restore again.")
        raise typer.Exit(1)
