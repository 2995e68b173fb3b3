"""Retrying what the error log tells: the process of a current error runs again, with a counter of its own (R43, R50).

An error is named by its company and its subject, `USPM/USPM-000041`, where a document has its name.
"""

from collections.abc import Collection, Iterable

import msgspec

from engine.errorlog.known_messages import recognise
from engine.errorlog.lifecycle import subject_of
from engine.events.facts import ProcessMessage
from engine.sync.actions import Skipped, Step, step_for_error, tasks
from engine.sync.attempts import Claim, Request
from engine.sync.general_journals import PROCESS as JOURNALS
from engine.sync.general_journals import name_of, number_in
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.queries.snapshot import Snapshot
from tieout.settings import Settings
from tieout.sync import general_journals
from tieout.sync.requests import request_of

_EVERY = 1_000_000


class Retry(msgspec.Struct, frozen=True):
    """An error and what is done for it, or why it is left to a person; for a general journal its batch number."""

    name: str
    entry: ErrorEntry
    step: Step | Skipped | None
    journal: str | None = None


def plan(entries: Iterable[ErrorEntry], settings: Settings) -> list[Retry]:
    """What a retry of these errors comes to."""
    found = []
    for entry in entries:
        message = entry.message
        if message.process == JOURNALS:
            number = number_in(message.subject or message.text or "")
            left = None if number else Skipped("Which journal it is about is not known.")
            found.append(Retry(name_of(message.company or "", number or "?"), entry, left, number))
            continue
        if message.company is None:
            found.append(Retry(_name(message), entry, Skipped("Its company is not known: run the process in Finance.")))
            continue
        # The subject of a line that failed is the line; its text names the journal.
        subject = recognise(message.text or "").parameters.get("journal", message.subject)
        step = step_for_error(message.process, message.company, subject, posting_permitted=settings.sync_posts)
        found.append(Retry(_name(message), entry, step))
    return found


def request(snapshot: Snapshot, retries: Iterable[Retry], who: str) -> Request:
    """A person's wish that they be done: each begins a new round."""
    retries = list(retries)
    wished = tasks(
        (one.name, one.entry.message.company or "", one.step) for one in retries if isinstance(one.step, Step)
    )
    wished += general_journals.request_journals(snapshot, [one.name for one in retries if one.journal], who).tasks
    number = f"{len(retries)} {'error' if len(retries) == 1 else 'errors'}"
    return request_of(wished, {}, who=who, scope=f"Retry of {number}")


def still_current(snapshot: Snapshot, claim: Claim, names: Collection[str]) -> bool:
    """Whether an error of one of these names is still current, so that its process must run again."""
    query = ErrorQuery(company=claim.company, limit=_EVERY)
    return any(_name(entry.message) in names for entry in snapshot.error_log(query))


def _name(message: ProcessMessage) -> str:
    return f"{message.company or '?'}/{subject_of(message).about}"
