"""`tieout sync`: requests the step that each document lacks, and shows the progress (R40, R47)."""

import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.reconciliation.kinds import Kind
from tieout.cli.common import FromOption, JsonOption, ToOption, examples, load_settings
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

POLL_SECONDS = 0.25
SHOWN = 100


def sync(
    company: Annotated[
        str | None, typer.Option(metavar="CODE", help="The company (legal entity), such as USPM.", show_default=False)
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only documents of this kind.", show_default=False)] = None,
    document: Annotated[
        str | None,
        typer.Option(metavar="DOCUMENT", help="Only this document, as in `tieout documents`.", show_default=False),
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show the progress and wait for the outcome.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Sync documents that are not reconciled because dual-write failed. The action follows from the cause of each
    document. A document that Sync cannot process is listed with the recommended action.
    """
    if (company is None) == (document is None):
        raise typer.BadParameter("name either a company or one document.", param_hint="'--company'")
    from tieout.access.identities import local_name

    settings = load_settings()
    plan = _plan(settings, company, kind, document, start, end)
    scope = document or f"{(company or '').upper()}{f', {kind}' if kind else ''}"
    request = plan.request(local_name(), f"tieout sync: {scope}")
    if dry_run or not request.tasks:
        _show(plan, as_json)
        return
    check_ready(settings)
    if not yes:
        _show(plan, as_json=False)
        typer.confirm(f"Start {counted(len(request.tasks), 'call')}?", abort=True, err=True)
    send_and_wait(settings, request, noun="document", wait=wait, as_json=as_json)


def check_ready(settings: "Settings") -> None:
    """Raise `SettingError` if the configuration or a prerequisite does not permit calls."""
    from engine.errors import SettingError
    from tieout.worker.handling import ready

    if (reason := ready(settings)) is not None:
        raise SettingError(f"nothing was sent: {reason}. Use --dry-run to see what would be done.")
    _check_prerequisites(settings)


def _check_prerequisites(settings: "Settings") -> None:
    """Raise `SettingError` if a system does not meet a prerequisite of Sync (R48)."""
    from engine.errors import SettingError
    from tieout.sync.connectors import obstacles

    if missing := obstacles(settings):
        raise SettingError(
            f"nothing was sent: prerequisites of Sync are missing (docs/connectors.md): {'; '.join(missing)}"
        )


def _plan(
    settings: "Settings",
    company: str | None,
    kind: Kind | None,
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
        selected = snapshot.company(company or "")
        window = snapshot.window(selected, start, end)
        return plan(snapshot, settings, selected, window, KINDS if kind is None else [kind])


def _show(plan: "Plan", as_json: bool) -> None:
    from engine.sync.actions import Step

    lines: list[dict[str, Any]] = [
        {
            "document": planned.row.document.document,
            "kind": planned.row.document.kind,
            "cause": planned.row.cause,
            "action": planned.step.action if isinstance(planned.step, Step) else None,
            "subject": planned.step.subject if isinstance(planned.step, Step) else None,
            "why": "" if isinstance(planned.step, Step) else planned.step.reason,
        }
        for planned in plan.documents
    ]
    if as_json:
        for line in lines:
            emit(line)
        return
    from tieout.cli.operation_tables import show_sync
    from tieout.cli.text_tables import console

    show_sync(console(), lines[:SHOWN], len(plan.tasks), len(plan.documents) - len(plan.left), len(plan.left))


RequestedActions = set[tuple[str, str]]
"""Pairs of a document and the action that was requested for it."""


def send_request(settings: "Settings", request: "Request") -> RequestedActions:
    """Send a request, wait for a worker to apply it, and return its documents with their actions."""
    from tieout.bootstrap import open_reader
    from tieout.sync.command_topic import TopicWriter, sync_commands, wait_until_applied

    sent = TopicWriter(settings).send(sync_commands(request))
    with open_reader(settings) as reader:
        if not wait_until_applied(reader, sent):
            typer.echo("The request is on the commands topic; a worker with the role `project` applies it.", err=True)
    return {(document, task.action) for task in request.tasks for document in task.documents}


def send_and_wait(settings: "Settings", request: "Request", *, noun: str, wait: bool, as_json: bool) -> None:
    """Send a request, show its progress, and print the outcome of each item.

    `noun` names the items, such as document or error. Raises `Exit` with code 1 if an item failed.
    """
    requested = send_request(settings, request)
    number = len({document for document, _ in requested})
    typer.echo(f"{counted(number, noun)} requested. A worker with the role `handle` makes the calls.", err=True)
    if not wait:
        return
    lines = [
        {
            "document": sync.document,
            "action": sync.action,
            "state": sync.attempts.state,
            "attempts": sync.attempts.made,
            "outcome": sync.last_outcome,
            "text": sync.last_text,
        }
        for sync in wait_until(settings, requested, lambda sync: sync.attempts.state not in ("waiting", "running"))
    ]
    if as_json:
        for line in lines:
            emit(line)
    else:
        from tieout.cli.operation_tables import show_synced
        from tieout.cli.text_tables import console

        show_synced(console(), lines, noun)
    if any(line["state"] != "done" for line in lines):
        raise typer.Exit(1)


def progress_note(states: "Mapping[AttemptState, int]", finished: int, total: int, seconds: float) -> str:
    """Return the progress of a sync of `total` documents (R47).

    Counts the documents that are done, failed, in progress and waiting (not requested yet included), and estimates the
    remaining time from the `finished` documents and the elapsed `seconds`.
    """
    done, failed = states.get("done", 0), states.get("stopped", 0) + states.get("blocked", 0)
    running = states.get("running", 0)
    note = f"{done} done, {failed} failed, {running} in progress, {total - done - failed - running} waiting"
    if finished == total:
        return note
    if not finished:
        return f"{note} · remaining time unknown"
    return f"{note} · {timedelta(seconds=round(seconds / finished * (total - finished)))} left"


def wait_until(
    settings: "Settings", requested: RequestedActions, is_finished: "Callable[[Sync], bool]"
) -> "list[Sync]":
    """Show the progress until all requested documents are finished, and return their syncs."""
    from store.operational.attempts import SqlAttempts
    from tieout.bootstrap import open_store
    from tieout.cli.progress import bar

    with open_store(settings, write=False) as engine, bar("Syncing", len(requested)) as move:
        attempts, names = SqlAttempts(engine), sorted({document for document, _ in requested})
        started = time.monotonic()
        while True:
            syncs = [sync for sync in attempts.syncs(names) if (sync.document, sync.action) in requested]
            states = Counter(sync.attempts.state for sync in syncs)
            finished = sum(map(is_finished, syncs))
            note = progress_note(states, finished, len(requested), time.monotonic() - started)
            move(finished, len(requested), note)
            if finished == len(requested):
                return syncs
            time.sleep(POLL_SECONDS)
