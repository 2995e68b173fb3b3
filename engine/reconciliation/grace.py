"""What may be said of something that is not there (R21), and what is only under way (R19).

These depend on the time of day and on what a source has sent, so they are asked when a document is shown and never
stored with it.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from engine.reconciliation.documents import Awaited, Cause, Document, Finding

ShownCause = Cause | Literal["not-observed", "feed-silent", "not-read-yet"]

MINUTE: Final = 60 * 1_000_000

GRACE: Final[Mapping[str, int]] = {
    # Dual-write and the system jobs of Dataverse are near real time, but run in queues.
    "not-synced-to-dataverse": 15 * MINUTE,
    "not-approved": 15 * MINUTE,
    "not-confirmed": 15 * MINUTE,
    "no-actual-made": 15 * MINUTE,
    # Microsoft's own page waits an hour before it calls an actual out of sync (`docs/domain/workspace.md`).
    "actual-not-synced-back": 60 * MINUTE,
    # Imports and postings are batches, mostly daily.
    "not-imported": 24 * 60 * MINUTE,
    "line-not-seen": 60 * MINUTE,
    "draft": 24 * 60 * MINUTE,
    "processing": 24 * 60 * MINUTE,
}
"""How long a step may take before its absence means something, by cause, in microseconds."""

FINDING_GRACE: Final = 60 * MINUTE
"""How long the other half of what looks like an orphan may take, in microseconds."""

_AWAITED: Final[Mapping[str, Awaited]] = {
    "orphan-in-finance": Awaited("dataverse", ("msdyn_actual",)),
    "orphan-journal-line": Awaited("finance", ("ProjCDSActualsImport",)),
    "header-before-lines": Awaited("dataverse", ("msdyn_projectvendorinvoiceline",)),
    "not-written-back": Awaited("dataverse", ("msdyn_actual",)),
    "orphan-in-dataverse msdyn_expense": Awaited("finance", ("TrvExpTrans",)),
    "orphan-in-dataverse msdyn_projectvendorinvoiceline": Awaited("finance", ("VendInvoiceTrans",)),
}
"""What the findings that rest on absence wait for, by code (and entity, where that decides)."""

STUCK: Final = 24 * 60 * MINUTE
"""After this long in processing Finance allows a line to be reset (`docs/domain/documents.md` §0)."""


AHEAD: Final = 24 * 60 * MINUTE
"""So far may a source's clock, and its day, run ahead of ours."""


class Moment(msgspec.Struct, frozen=True):
    """What is known of time when documents are shown.

    `now` is None while today is set by hand: then nothing is in flight and every grace is 0. `until` says up to when
    each source that sends heartbeats has sent everything; `observed` whether an entity was ever seen; `unread` since
    when an entity has rows that changed and were not read yet (R5).
    """

    now: int | None
    until: Mapping[str, int]
    observed: Callable[[str], bool]
    unread: Mapping[str, int] = {}

    def read(self, awaited: Awaited) -> bool:
        """Whether every row is read that is known to have changed, of what is waited for."""
        return not any(entity in self.unread for entity in awaited.entities)

    def grace(self, cause: str | None) -> int:
        """The grace of a step, in microseconds."""
        return 0 if self.now is None or cause is None else GRACE.get(cause, 0)


def shown_cause(document: Document, moment: Moment) -> ShownCause | None:
    """The cause as far as it may be claimed: an absence only up to the time its source is known complete, and not while
    a row of what is awaited changed and was not read yet, for it may be the one.
    """
    awaited = document.awaited
    if awaited is None or document.cause is None:
        return document.cause
    until = moment.until.get(awaited.source)
    if until is not None and until < document.since + moment.grace(document.cause):
        return "feed-silent"
    if until is None and not all(moment.observed(entity) for entity in awaited.entities):
        return "not-observed"
    return document.cause if moment.read(awaited) else "not-read-yet"


def is_reportable(finding: Finding, moment: Moment) -> bool:
    """Whether a finding may be told now: one that rests on absence only as far as its source is known complete.

    Where the source sends no heartbeats, after a grace, and never for what the environment does not send at all. None
    while rows of what it misses wait to be read.
    """
    entity = finding.subject.split(":", 2)[1]
    awaited = _AWAITED.get(finding.code) or _AWAITED.get(f"{finding.code} {entity}")
    if awaited is None:
        return True
    if not moment.read(awaited):
        return False
    grown = finding.evidence.at + (0 if moment.now is None else FINDING_GRACE)
    until = moment.until.get(awaited.source)
    if until is not None:
        return until >= grown
    return (moment.now is None or moment.now >= grown) and all(map(moment.observed, awaited.entities))


def in_flight(document: Document, moment: Moment) -> bool:
    """Whether the document is younger than the grace of its step: in the tiles, but no reason for alarm."""
    if moment.now is None or document.position not in ("missing-actual", "missing-journal-line"):
        return False
    return moment.now < document.since + moment.grace(document.cause)


def timed_findings(document: Document, end_of_today: int) -> tuple[str, ...]:
    """The findings that only time makes: a line that has been in processing for too long; an event from days to come,
    beside which whatever is corrected until then counts as older.
    """
    if document.cause == "processing" and end_of_today - document.since > STUCK:
        return ("processing-too-long",)
    if document.since - end_of_today > AHEAD:
        return ("clock-ahead",)
    return ()
