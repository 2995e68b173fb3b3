"""The command line. Results go to standard output; progress, logs and errors go to standard error.

Exit codes: 0 success, 1 an error, or a difference that the command looks for, 2 wrong usage, 130 interrupted.

Modules that take long to load are imported by the commands that need them, so that `tieout --help` starts fast.

* `common`, `output`, `failures`, `progress`: options, formats, errors and progress of all commands.
* `text_tables`, `operation_tables`: tables for people.
* `demo`, `pipeline`, `poll`: commands that run: `demo`, `run`, `simulate`, `ingest`, `poll`.
* `documents`, `balance`, `findings`, `invoice_proposals`, `error_log`: queries: `summary`, `documents`, `chain`,
  `balance`, `findings`, `proposals`, `errors`.
* `sync`, `general_journals`: commands that call Finance and Dataverse.
* `inspection`, `event_log`, `maps`, `rejected`: events, maps, the log, and proof of the store.
* `installation`, `replay`, `alerts`: commands of an operator.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from tieout.cli import (
    alerts,
    balance,
    demo,
    documents,
    error_log,
    event_log,
    findings,
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
    help="Continuously reconcile Finance and Dataverse in Project Operations.",
    epilog=examples(
        "tieout demo", "tieout summary --company USPM", "tieout documents --company USPM --view missing-actuals"
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"tieout {version('tieout')}")
        raise typer.Exit


@app.callback()
def _tieout(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Continuously reconcile Finance and Dataverse in Project Operations."""


app.command(epilog=demo.EXAMPLES)(demo.demo)
app.command(epilog=pipeline.RUN_EXAMPLES)(pipeline.run)
app.command(epilog=pipeline.SIMULATE_EXAMPLES)(pipeline.simulate)
app.command(epilog=pipeline.INGEST_EXAMPLES)(pipeline.ingest)
app.command(epilog=poll.EXAMPLES)(poll.poll)
app.command(epilog=inspection.DECODE_EXAMPLES)(inspection.decode)
app.command(epilog=documents.SUMMARY_EXAMPLES)(documents.summary)
app.command(epilog=documents.DOCUMENTS_EXAMPLES)(documents.documents)
app.command(epilog=documents.CHAIN_EXAMPLES)(documents.chain)
app.command(epilog=balance.EXAMPLES)(balance.balance)
app.command(epilog=findings.EXAMPLES)(findings.findings)
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
    """Run a command, by default the one of the process's arguments, and return its exit code."""
    return guarded(lambda: app(args=arguments, prog_name="tieout"))
