"""Commands for those who run it: prepare an installation, and look whether it is as it must be."""

from typing import Annotated

import typer

from tieout.cli.common import JsonOption, examples, in_force
from tieout.cli.output import emit, plain

MIGRATE_EXAMPLES = examples("tieout migrate", "tieout migrate --wait 0")


def migrate(
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for a server that is away.")
    ] = 60.0,
) -> None:
    """Make or upgrade the store and the topics, and say what was done. What is right is left alone."""
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

    from tieout.installation import prepare
    from tieout.worker import passes

    settings = in_force("info")
    attempts = Retrying(
        retry=retry_if_exception(passes),
        stop=stop_after_delay(wait),
        wait=wait_fixed(1.0),
        reraise=True,
    )
    for done in attempts(lambda: list(prepare(settings, patience_seconds=min(max(wait, 1.0), 10.0)))):
        typer.echo(done)


CHECK_EXAMPLES = examples("tieout check", "tieout check --json")

_MARKS = {True: "ok", False: "FAULT", None: "-"}


def check(as_json: JsonOption = False) -> None:
    """Check settings, broker, topics, store and worker. Each line is ok or says what to do."""
    from engine.errors import SettingError
    from tieout import checks

    lines = []
    try:
        settings = in_force()
        for line in checks.check(settings):
            lines.append(line)
            if not as_json:
                typer.echo(f"{_MARKS[line.ok]:<7} {line.check:<9} {plain(line.says)}")
    except SettingError as error:
        lines.append(checks.Line("settings", False, str(error)))
        if not as_json:
            typer.echo(f"{_MARKS[False]:<7} {'settings':<9} {plain(str(error))}")
    right = all(line.ok for line in lines)
    if as_json:
        emit({"ok": right, "checks": lines})
    if not right:
        raise typer.Exit(1)
