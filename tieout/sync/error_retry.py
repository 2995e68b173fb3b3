"""Retries current errors: the process that reported an error runs again, with a counter of its own (R43, R50).

An error is identified by its company and its subject, `USPM/USPM-000041`, in place of the name of a document.
"""

from collections.abc import Collection, Iterable

import msgspec

from engine.errorlog.known_messages import recognise
from engine.errorlog.lifecycle import subject_of
from engine.events.facts import ProcessMessage
from engine.sync.actions import Skipped, Step, skipped, step_for_error, tasks
from engine.sync.attempts import Claim, Request
from engine.sync.general_journals import PROCESS as JOURNALS
from engine.sync.general_journals import name_of, number_in
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.queries.snapshot import Snapshot
from tieout.settings import Settings
from tieout.sync import general_journals
from tieout.sync.requests import request_of

POSTING = "integration-journal-posting"
_EVERY = 1_000_000


class Retry(msgspec.Struct, frozen=True):
    """An error with the step of its retry, or the reason why it is left to a person; `journal` is the batch number of a
    general journal, which has steps of its own.
    """

    name: str
    entry: ErrorEntry
    step: Step | Skipped | None
    journal: str | None = None


def plan(snapshot: Snapshot, entries: Iterable[ErrorEntry], settings: Settings) -> list[Retry]:
    """Plan the retry of these errors."""
    entries = list(entries)
    journals = {
        (entry.message.company or "", _subject(entry) or "") for entry in entries if entry.message.process == POSTING
    }
    in_the_way = snapshot.journal_obstacles(journals)
    retries = []
    for entry in entries:
        message = entry.message
        if message.process == JOURNALS:
            number = number_in(message.subject or message.text or "")
            left = None if number else skipped("journal-of-error-unknown")
            retries.append(Retry(name_of(message.company or "", number or "?"), entry, left, number))
            continue
        if message.company is None:
            unknown = skipped("company-of-error-unknown")
            retries.append(Retry(_name(message), entry, unknown))
            continue
        subject = _subject(entry)
        step = step_for_error(
            message.process,
            message.company,
            subject,
            in_the_way=in_the_way.get((message.company, subject or ""), ()),
            posting_permitted=settings.sync_posts,
        )
        retries.append(Retry(_name(message), entry, step))
    return retries


def _subject(entry: ErrorEntry) -> str | None:
    """Return the subject to retry: that of a failed journal line is the line, but its text names the journal."""
    return recognise(entry.message.text or "").parameters.get("journal", entry.message.subject)


def request(snapshot: Snapshot, retries: Iterable[Retry], who: str) -> Request:
    """Return the request of a person for these retries; each starts a new attempt cycle."""
    retries = list(retries)
    requested = tasks(
        (retry.name, retry.entry.message.company or "", retry.step) for retry in retries if isinstance(retry.step, Step)
    )
    journals = [retry.name for retry in retries if retry.journal]
    requested += general_journals.request_journals(snapshot, journals, who).tasks
    number = f"{len(retries)} {'error' if len(retries) == 1 else 'errors'}"
    return request_of(requested, {}, who=who, scope=f"Retry of {number}")


def still_planned(snapshot: Snapshot, claim: Claim, names: Collection[str], settings: Settings) -> bool:
    """Return True if an error with one of these names is still current, and the call of a claim is still its retry: no
    line that must not be posted is in the journal meanwhile.
    """
    query = ErrorQuery(company=claim.company, limit=_EVERY)
    current = [entry for entry in snapshot.error_log(query) if _name(entry.message) in names]
    steps = [retry.step for retry in plan(snapshot, current, settings)]
    return any(
        isinstance(step, Step) and (step.action, step.subject) == (claim.action, claim.subject) for step in steps
    )


def _name(message: ProcessMessage) -> str:
    return f"{message.company or '?'}/{subject_of(message).about}"
