"""`tieout alerts`: the current alerts, and a test of the webhook (R84)."""

import typer

from tieout.cli.common import JsonOption, examples, load_settings
from tieout.cli.output import counted, emit

app = typer.Typer(
    help="List the current alerts: silent feeds, items that need attention, rejected events, failed self-checks.",
    epilog=examples("tieout alerts", "tieout alerts --json", "tieout alerts test"),
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def alerts(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the current alerts: silent feeds, items that need attention, rejected events, failed self-checks, and
    amounts before close. With TIEOUT_WEBHOOK, a worker sends each alert when it begins and when it ends.
    """
    if context.invoked_subcommand is not None:
        return
    from engine.events.facts import iso
    from store.operational.alerts import SqlAlerts
    from tieout.bootstrap import open_store
    from tieout.cli.output import plain
    from tieout.worker.alerting import AlertConditions

    settings = load_settings()
    with open_store(settings, write=False) as engine:
        current, _ = AlertConditions(engine, settings)()
        since = {stored.alert.key: stored.began for stored in SqlAlerts(engine).all() if stored.ended is None}
    for alert in current:
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
        typer.echo(f"{counted(len(current), 'alert')}." if current else "No alerts.")


@app.command(epilog=examples("tieout alerts test"))
def test() -> None:
    """Send a test alert to TIEOUT_WEBHOOK, and report whether the receiver accepted it."""
    import threading
    import uuid

    from engine.alerts import trial_event
    from engine.errors import SettingError
    from store import clock
    from tieout.worker.alerting import open_webhook

    settings = load_settings()
    if settings.webhook is None:
        raise SettingError("TIEOUT_WEBHOOK is not set. Set it to the https address of the receiver.")
    with open_webhook(settings, threading.Event()) as webhook:
        webhook.send(trial_event(str(uuid.uuid4()), settings.prefix, clock.now()))
    typer.echo("The receiver accepted the test alert.")
