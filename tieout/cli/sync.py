"""`tieout sync`: send again what dual-write lost (R40)."""

import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tieout.cli.common import FromOption, JsonOption, ToOption, examples, in_force
from tieout.cli.documents import KindName
from tieout.cli.output import counted, emit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engine.sync.attempts import AttemptState, Request, Sync
    from tieout.settings import Settings
    from tieout.sync.planning import Plan

EXAMPLES = examples(
    "tieout sync --company USPM --dry-run",
    "tieout sync --company USPM --kind expense --yes",
    "tieout sync --document USPM/USPM-PT000487",
)

LOOK_SECONDS = 0.25
SHOWN = 100


def sync(
    company: Annotated[
        str | None, typer.Option(metavar="CODE", help="The company (legal entity), such as USPM.", show_default=False)
    ] = None,
    kind: Annotated[KindName | None, typer.Option(help="Documents of this kind only.", show_default=False)] = None,
    document: Annotated[
        str | None,
        typer.Option(metavar="DOCUMENT", help="This one alone, as `tieout documents` shows it.", show_default=False),
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and why.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Show how it gets on, until all of it has ended.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Send again what is not reconciled because of dual-write failures. What is done follows the cause of each
    document; a document that a person must see to is listed with what that person does.
    """
    if (company is None) == (document is None):
        raise typer.BadParameter("name a company, or one document.", param_hint="'--company'")
    from tieout.sync.command_topic import current_user

    settings = in_force()
    plan = _plan(settings, company, kind, document, start, end)
    chosen = document or f"{(company or '').upper()}{f', {kind}' if kind else ''}"
    request = plan.request(current_user(), f"tieout sync: {chosen}")
    if dry_run or not request.tasks:
        _show(plan, as_json)
        return
    check_ready(settings)
    if not yes:
        _show(plan, as_json=False)
        typer.confirm(f"Start {counted(len(request.tasks), 'call')}?", abort=True, err=True)
    carry_out(settings, request, what="document", wait=wait, as_json=as_json)


def check_ready(settings: "Settings") -> None:
    """Raise `SettingError` while nothing can be sent."""
    from engine.errors import SettingError
    from tieout.worker.handling import ready

    if (reason := ready(settings)) is not None:
        raise SettingError(f"nothing was sent: {reason}. `--dry-run` shows what would be done.")
    _check_prerequisites(settings)


def _check_prerequisites(settings: "Settings") -> None:
    """Raise `SettingError` while one of the systems lacks what Sync needs (R48)."""
    from engine.errors import SettingError
    from tieout.sync.connectors import obstacles

    if missing := obstacles(settings):
        raise SettingError(
            f"nothing was sent, for Sync needs more than is there (docs/connectors.md): {'; '.join(missing)}"
        )


def _plan(
    settings: "Settings",
    company: str | None,
    kind: KindName | None,
    document: str | None,
    start: str | None,
    end: str | None,
) -> "Plan":
    from engine.reconciliation.kinds import KINDS
    from tieout.bootstrap import open_reader
    from tieout.sync.planning import plan, plan_for

    with open_reader(settings) as reader, reader.snapshot() as snapshot:
        if document is not None:
            return plan_for(snapshot, settings, document)
        found = snapshot.company(company or "")
        return plan(snapshot, settings, found, snapshot.window(found, start, end), KINDS if kind is None else [kind])


def _show(plan: "Plan", as_json: bool) -> None:
    from engine.sync.actions import Step

    told: list[dict[str, Any]] = [
        {
            "document": one.row.document.document,
            "kind": one.row.document.kind,
            "cause": one.row.cause,
            "action": one.step.action if isinstance(one.step, Step) else None,
            "subject": one.step.subject if isinstance(one.step, Step) else None,
            "why": "" if isinstance(one.step, Step) else one.step.reason,
        }
        for one in plan.documents
    ]
    if as_json:
        for line in told:
            emit(line)
        return
    from tieout.cli.text_tables import console, show_sync

    show_sync(console(), told[:SHOWN], len(plan.tasks), len(plan.documents) - len(plan.left), len(plan.left))


Wanted = set[tuple[str, str]]
"""Documents with the action that is requested for each."""


def ask(settings: "Settings", request: "Request") -> Wanted:
    """Send a request, and return what it is of."""
    from tieout.bootstrap import open_reader
    from tieout.sync.command_topic import TopicWriter, sync_commands, wait_until_applied

    sent = TopicWriter(settings).send(sync_commands(request))
    with open_reader(settings) as reader:
        if not wait_until_applied(reader, sent):
            typer.echo("The command is kept; a worker that projects will take it up.", err=True)
    return {(document, task.action) for task in request.tasks for document in task.documents}


def carry_out(settings: "Settings", request: "Request", *, what: str, wait: bool, as_json: bool) -> None:
    """Ask for it, and show how each document, or whatever it is done for, gets on."""
    asked = ask(settings, request)
    number = len({document for document, _ in asked})
    typer.echo(f"{counted(number, what)} asked for; a worker with the role `handle` sees to them.", err=True)
    if not wait:
        return
    told = [
        {
            "document": sync.document,
            "action": sync.action,
            "state": sync.attempts.state,
            "attempts": sync.attempts.made,
            "outcome": sync.last_outcome,
            "text": sync.last_text,
        }
        for sync in until_over(settings, asked, lambda sync: sync.attempts.state not in ("waiting", "running"))
    ]
    if as_json:
        for line in told:
            emit(line)
    else:
        from tieout.cli.text_tables import console, show_synced

        show_synced(console(), told, what)
    if any(line["state"] != "done" for line in told):
        raise typer.Exit(1)


def progress_note(states: "Mapping[AttemptState, int]", over: int, total: int, seconds: float) -> str:
    """How far a sync of `total` documents is (R47): so many done, failed, in progress and waiting, and the estimated
    time that is left once `over` of them took so many seconds; documents that are not requested yet wait.
    """
    done, failed = states.get("done", 0), states.get("stopped", 0) + states.get("blocked", 0)
    running = states.get("running", 0)
    note = f"{done} done, {failed} failed, {running} in progress, {total - done - failed - running} waiting"
    if over == total:
        return note
    left = str(timedelta(seconds=round(seconds / over * (total - over)))) if over else "time not known yet"
    return f"{note} · {left} left" if over else f"{note} · {left}"


def until_over(settings: "Settings", asked: Wanted, over: "Callable[[Sync], bool]") -> "list[Sync]":
    """Wait, showing how many are over, until all of these documents are; how they are then."""
    from store.operational.attempts import SqlAttempts
    from tieout.bootstrap import open_store
    from tieout.cli.progress import bar

    with open_store(settings, write=False) as engine, bar("Syncing", len(asked)) as move:
        attempts, names = SqlAttempts(engine), sorted({document for document, _ in asked})
        begun = time.monotonic()
        while True:
            syncs = [sync for sync in attempts.syncs(names) if (sync.document, sync.action) in asked]
            states = Counter(sync.attempts.state for sync in syncs)
            done = sum(map(over, syncs))
            move(done, len(asked), progress_note(states, done, len(asked), time.monotonic() - begun))
            if done == len(asked):
                return syncs
            time.sleep(LOOK_SECONDS)
