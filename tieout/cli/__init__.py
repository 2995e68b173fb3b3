"""The command line. Answers go to standard output, everything else (progress, logs, faults) to standard error.

Exit codes: 0 done, 1 a fault or a difference that was asked for, 2 the command was not understood, 130 interrupted.

Modules that take long to load are imported by the commands that need them, so that `tieout --help` answers at once.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from tieout.cli import (
    alerts,
    demo,
    documents,
    error_log,
    event_log,
    general_journals,
    inspection,
    installation,
    invoice_proposals,
    maps,
    pipeline,
    poll,
    rejected,
    replay,
    sync,
)
from tieout.cli.common import examples
from tieout.cli.failures import guarded

app = typer.Typer(
    name="tieout",
    help="Keeps the Finance and the Dataverse side of Project Operations reconciled, continuously.",
    epilog=examples(
        "tieout demo", "tieout summary --company USPM", "tieout documents --company USPM --view missing-actuals"
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tieout {version('tieout')}")
        raise typer.Exit


@app.callback()
def _tieout(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Keeps the Finance and the Dataverse side of Project Operations reconciled, continuously."""


app.command(epilog=demo.EXAMPLES)(demo.demo)
app.command(epilog=pipeline.RUN_EXAMPLES)(pipeline.run)
app.command(epilog=pipeline.SIMULATE_EXAMPLES)(pipeline.simulate)
app.command(epilog=pipeline.INGEST_EXAMPLES)(pipeline.ingest)
app.command(epilog=poll.EXAMPLES)(poll.poll)
app.command(epilog=inspection.DECODE_EXAMPLES)(inspection.decode)
app.command(epilog=documents.SUMMARY_EXAMPLES)(documents.summary)
app.command(epilog=documents.DOCUMENTS_EXAMPLES)(documents.documents)
app.command(epilog=documents.CHAIN_EXAMPLES)(documents.chain)
app.command(epilog=invoice_proposals.EXAMPLES)(invoice_proposals.proposals)
app.command(epilog=inspection.DUMP_EXAMPLES)(inspection.dump)
app.command(epilog=inspection.VERIFY_EXAMPLES)(inspection.verify)
app.command(epilog=sync.EXAMPLES)(sync.sync)
app.command(epilog=replay.EXAMPLES)(replay.replay)
app.command(epilog=installation.MIGRATE_EXAMPLES)(installation.migrate)
app.command(epilog=installation.CHECK_EXAMPLES)(installation.check)
app.command(epilog=installation.BACKUP_EXAMPLES)(installation.backup)
app.command(epilog=installation.RESTORE_EXAMPLES)(installation.restore)
app.add_typer(error_log.app, name="errors")
app.add_typer(general_journals.app, name="journals")
app.add_typer(alerts.app, name="alerts")
app.add_typer(rejected.app, name="rejected")
app.add_typer(event_log.app, name="log")
app.add_typer(maps.app, name="maps")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command (by default the process's own) and return its exit code."""
    return guarded(lambda: app(args=arguments, prog_name="tieout"))
