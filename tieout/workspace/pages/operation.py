"""The Operation pages: lag, received and rejected events, feeds, health checks and configuration (R82)."""

import re
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.events.facts import microseconds
from engine.sync.actions import ACTION_TEXTS
from engine.sync.attempts import ATTEMPTS_MAX, Sync
from engine.sync.general_journals import ACTION, name_of
from store.queries.snapshot import Snapshot
from streams.log import EventLog, LogError
from streams.projector import read_rejection
from streams.topics import PROJECTED, REJECTED
from tieout.access.identities import Right
from tieout.maintenance.health_checks import check
from tieout.presenters import SYNC_STATES
from tieout.settings import Settings
from tieout.sync.general_journals import JournalStatus, journals_needing_attention
from tieout.texts import Texts
from tieout.workspace.pages import Section
from tieout.workspace.pages.document import address, outcome_text
from tieout.workspace.web.context import Workspace, age, make_frame, open_snapshot, workspace_of
from tieout.workspace.web.grid_state import sync_preview
from tieout.workspace.web.identity import identity_of, sees
from tieout.workspace.web.rendering import render

_RATES: Final = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))
_SHOWN: Final = 100


class Partition(msgspec.Struct, frozen=True):
    """A partition of a topic: log start and end, the committed offset, and the events received recently."""

    topic: str
    partition: int
    start: int
    end: int
    next: int
    came: list[int]

    @property
    def lag(self) -> int:
        """Events not yet applied."""
        return max(0, self.end - self.next)


def operation(request: Request) -> Response:
    """Show the overview for operators."""
    workspace = workspace_of(request)
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.query_params.get("company") or None)
        partitions, problem = _partitions(workspace, snapshot)
        rejected = _rejected_number(workspace) if problem is None else 0
        oldest = snapshot.oldest_open()
        texts = frame.texts
        states, journals = snapshot.sync_states(), journals_needing_attention(snapshot)
        counts = {state: sum(number for (of, _), number in states.items() if of == state) for state in SYNC_STATES}
        # Including general journals that Finance attempts itself.
        counts["stopped"] += len(journals) - states.get(("stopped", ACTION), 0)
        stopped = _attention(request, snapshot, journals, texts)
        administers = identity_of(request).may_everywhere(Right.ADMINISTER)
        context = {
            "frame": frame,
            "section": "operation",
            "partitions": partitions,
            "rates": [texts.gettext("Last hour"), texts.gettext("Last day"), texts.gettext("Last week")],
            "lag": sum(one.lag for one in partitions),
            "problem": problem,
            "rejected": rejected,
            "oldest": oldest,
            "oldest_age": None if oldest is None else age(oldest, snapshot.present, texts),
            "settings": secrets_hidden(workspace.settings) if administers else [],
            "syncs": [(texts.of_code(state, title), counts[state]) for state, title in SYNC_STATES.items()],
            "stopped": stopped,
            "of": ATTEMPTS_MAX,
            "more": max(0, counts["stopped"] - _SHOWN) if sees(request, None) else 0,
            "writer": snapshot.writer(),
            "loops": snapshot.loops(),
            "not_read": snapshot.unread_rows(),
            "embedded": workspace.settings.log_file is not None,
        }
        return render(request, "operation.html", context)


def _attention(
    request: Request, snapshot: Snapshot, journals: list[JournalStatus], texts: Texts
) -> list[dict[str, Any]]:
    """Return the first syncs that need attention: documents and errors after five attempts, and general journals, in
    the companies that the reader may see.

    Journals that Finance attempts itself are included.
    """
    syncs = [sync for sync in snapshot.stopped(_SHOWN, without=ACTION) if sees(request, sync.company)]
    journals = [one for one in journals if sees(request, one.company)]
    documents = {row.document.document for row in snapshot.documents_named({sync.document for sync in syncs})}
    rows = [_stopped(sync, texts, of_document=sync.document in documents) for sync in syncs]
    return (rows + [_journal(one, texts) for one in journals])[:_SHOWN]


def _stopped(sync: Sync, texts: Texts, *, of_document: bool) -> dict[str, Any]:
    errors = f"/{quote(sync.company)}/errors"
    retry = sync_preview(sync.company, {"document": sync.document})
    return {
        "name": sync.document,
        "address": address(sync.document) if of_document else errors,
        "action": texts.of_code(sync.action, ACTION_TEXTS.get(sync.action, sync.action)),
        "made": sync.attempts.made,
        "last": sync.last_at,
        "outcome": outcome_text(sync.last_outcome, sync.last_text, texts),
        "retry": retry if of_document else errors,
    }


def _journal(one: JournalStatus, texts: Texts) -> dict[str, Any]:
    return {
        "name": name_of(one.company, one.journal),
        "address": f"/{quote(one.company)}/general-journals",
        "action": texts.of_code(ACTION, ACTION_TEXTS[ACTION]),
        "made": one.count,
        "last": one.last,
        "outcome": " ".join(text for text in (one.error, one.reason) if text) or outcome_text(one.outcome, "", texts),
        "retry": sync_preview(one.company, {"journal": one.journal}),
    }


def _partitions(workspace: Workspace, snapshot: Snapshot) -> tuple[list[Partition], str | None]:
    """Return the projected partitions; or those the store knows and the problem, if the log is unavailable."""
    offsets = snapshot.offsets()
    try:
        log = workspace.log
        partitions = [
            _partition(log, topic.full_name(workspace.settings.prefix), number, offsets, snapshot)
            for topic in PROJECTED
            for number in range(log.partitions(topic.full_name(workspace.settings.prefix)))
        ]
    except LogError as error:
        return [Partition(topic, number, 0, next_, next_, []) for (topic, number), next_ in offsets.items()], str(error)
    return partitions, None


def _partition(
    log: EventLog, topic: str, number: int, offsets: dict[tuple[str, int], int], snapshot: Snapshot
) -> Partition:
    start, end = log.start_offset(topic, number), log.end_offset(topic, number)
    came = [
        end - max(start, log.offset_at(topic, number, microseconds(snapshot.now - span) // 1_000)) for span in _RATES
    ]
    return Partition(topic, number, start, end, offsets.get((topic, number), start), came)


def _rejected_number(workspace: Workspace) -> int:
    log, topic = workspace.log, REJECTED.full_name(workspace.settings.prefix)
    return sum(
        log.end_offset(topic, number) - log.start_offset(topic, number) for number in range(log.partitions(topic))
    )


def rejected(request: Request) -> Response:
    """Show the rejected events, newest first."""
    workspace = workspace_of(request)
    log, topic = workspace.log, REJECTED.full_name(workspace.settings.prefix)
    rejections = []
    for number in range(log.partitions(topic)):
        first = max(log.start_offset(topic, number), log.end_offset(topic, number) - _SHOWN)
        while first < log.end_offset(topic, number) and (
            records := log.read(topic, number, first, _SHOWN, 8 * 1024 * 1024)
        ):
            first = records[-1].offset + 1
            rejections += [
                (record.timestamp * 1_000, read_rejection(record.value))
                for record in records
                if record.value is not None
            ]
    rejections.sort(key=lambda item: -item[0])
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.query_params.get("company") or None)
        total = _rejected_number(workspace)
        context = {"frame": frame, "section": "operation/rejected", "rejected": rejections[:_SHOWN], "total": total}
        return render(request, "rejected.html", context)


def checks(request: Request) -> Response:
    """Run the checks of `tieout check`, and show each result as soon as it is available."""
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.query_params.get("company") or None)
    lines = check(workspace_of(request).settings)
    return render(request, "checks.html", {"frame": frame, "section": "operation", "lines": lines})


def secrets_hidden(settings: Settings) -> list[tuple[str, str]]:
    """Return the settings by the names of their variables, without the credentials in addresses."""
    several = {name for name in settings.__struct_fields__ if isinstance(getattr(settings, name), tuple)}
    return [
        (
            f"TIEOUT_{name.upper()}",
            ", ".join(getattr(settings, name)) if name in several else re.sub(r"(?<=://)[^/@]*@", "…@", text),
        )
        for name, text in settings.shown().items()
    ]


ROUTES: Final = (
    Route("/operation", operation),
    Route("/operation/checks", checks),
    Route("/operation/rejected", rejected),
)
SECTIONS: Final = (
    Section(90, "operation", "operation", lambda frame: frame.texts.gettext("Operation"), "pulse", of_company=False),
    Section(
        100,
        "operation",
        "operation/rejected",
        lambda frame: frame.texts.gettext("Rejected events"),
        "reject",
        of_company=False,
    ),
)
