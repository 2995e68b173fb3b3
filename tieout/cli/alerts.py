"""`tieout alerts`: what a person should hear of, and whether it would be told (R84)."""

import typer

from tieout.cli.common import JsonOption, examples, in_force
from tieout.cli.output import counted, emit

app = typer.Typer(
    help="List the alerts that stand: silent feeds, what waits for a person, rejected events, failed self-checks.",
    epilog=examples("tieout alerts", "tieout alerts --json", "tieout alerts test"),
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def alerts(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the alerts that stand: silent feeds, what waits for a person, rejected events, failed self-checks, amounts
    before close. With TIEOUT_WEBHOOK a worker tells each when it begins and when it ends.
    """
    if context.invoked_subcommand is not None:
        return
    from engine.events.facts import iso
    from store.operational.alerts import SqlAlerts
    from tieout.bootstrap import open_store
    from tieout.cli.output import plain
    from tieout.worker.alerting import AlertConditions

    settings = in_force()
    with open_store(settings, write=False) as engine:
        standing, _ = AlertConditions(engine, settings)()
        since = {one.alert.key: one.began for one in SqlAlerts(engine).all() if one.ended is None}
    for alert in standing:
        began = iso(since[alert.key]) if alert.key in since else None
        if as_json:
            emit(
                {
                    "alert": alert.key,
                    "kind": alert.kind,
                    "company": alert.company,
                    "text": alert.text,
                    "since": began,
                    "detail": alert.detail,
                }
            )
        else:
            typer.echo(f"{plain(alert.text)}" + (f"  (since {began})" if began else ""))
    if not as_json:
        typer.echo(f"{counted(len(standing), 'alert')}." if standing else "No alert stands.")


@app.command(epilog=examples("tieout alerts test"))
def test() -> None:
    """Send a test to TIEOUT_WEBHOOK, and say whether it was taken."""
    import threading
    import uuid

    from engine.alerts import trial_event
    from engine.errors import SettingError
    from store import clock
    from tieout.worker.alerting import open_webhook

    settings = in_force()
    if settings.webhook is None:
        raise SettingError("TIEOUT_WEBHOOK is not set: there is nobody to tell.")
    with open_webhook(settings, threading.Event()) as webhook:
        webhook.send(trial_event(str(uuid.uuid4()), settings.prefix, clock.now()))
    typer.echo("The test was taken.")
