"""When a missing step may be reported (R21), and which documents are in progress (R19).

Both depend on the time of day and on the watermarks of the sources. They are therefore evaluated when a document is
shown, and never stored.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from engine.reconciliation.asynchronous import ASYNC_GRACE
from engine.reconciliation.documents import Awaited, Cause, Document, Finding
from engine.reconciliation.kinds import KINDS

ShownCause = Cause | Literal["not-observed", "feed-silent", "not-read-yet"]

MINUTE: Final = 60 * 1_000_000

GRACE: Final[Mapping[str, int]] = {
    # Dual-write and the system jobs of Dataverse are near real time, but queued.
    "not-synced-to-dataverse": 15 * MINUTE,
    "not-approved": 15 * MINUTE,
    "not-confirmed": 15 * MINUTE,
    "no-actual-made": 15 * MINUTE,
    # The page of Microsoft reports an actual as out of sync after an hour (`docs/domain/workspace.md`).
    "actual-not-synced-back": 60 * MINUTE,
    # Imports and postings are batch jobs, usually daily.
    "not-imported": 24 * 60 * MINUTE,
    "line-not-seen": 60 * MINUTE,
    "draft": 24 * 60 * MINUTE,
    "processing": 24 * 60 * MINUTE,
}
"""The grace period of each cause, in microseconds: the normal duration of the missing step."""

FINDING_GRACE: Final = 60 * MINUTE
"""The grace period of findings that rest on a missing row, in microseconds."""

_AWAITED: Final[Mapping[str, Awaited]] = {
    "orphan-in-finance": Awaited("dataverse", ("msdyn_actual",)),
    "orphan-journal-line": Awaited("finance", ("ProjCDSActualsImport",)),
    "header-before-lines": Awaited("dataverse", ("msdyn_projectvendorinvoiceline",)),
    "not-written-back": Awaited("dataverse", ("msdyn_actual",)),
    **{f"orphan-in-dataverse {kind.record_entity}": Awaited("finance", (kind.line_table,)) for kind in KINDS.values()},
}
"""The rows that findings of a missing row wait for, by code, and by entity where it matters."""

STUCK: Final = 24 * 60 * MINUTE
"""The time in processing after which Finance allows a line to be reset (`docs/domain/documents.md` §0), in
microseconds.
"""

AHEAD: Final = 24 * 60 * MINUTE
"""The tolerated clock skew of a source, including its time zone, in microseconds."""


class Moment(msgspec.Struct, frozen=True):
    """The time and the watermarks at which documents are shown.

    `now` is None if the business date is simulated: then no document is in progress and every grace period is 0.
    `until` maps each source that sends heartbeats to the time up to which it is complete, `observed` returns whether an
    entity was ever received, and `unread` maps entities to the time since when changed rows have not been read (R5).
    `delayed` is what waits for rows of asynchronous maps (`asynchronous.waiting_for`).
    """

    now: int | None
    until: Mapping[str, int]
    observed: Callable[[str], bool]
    unread: Mapping[str, int] = {}
    delayed: frozenset[str] = frozenset()

    def read(self, awaited: Awaited) -> bool:
        """Return True if no changed row of the awaited entities is unread."""
        return not any(entity in self.unread for entity in awaited.entities)

    def grace(self, cause: str | None, awaited: Awaited | None) -> int:
        """Return the grace period of a cause, in microseconds."""
        return 0 if self.now is None or cause is None else self._with_delay(cause, awaited, GRACE.get(cause, 0))

    def finding_grace(self, code: str, awaited: Awaited) -> int:
        """Return the grace period of a finding that rests on a missing row, in microseconds."""
        return 0 if self.now is None else self._with_delay(code, awaited, FINDING_GRACE)

    def _with_delay(self, code: str, awaited: Awaited | None, usual: int) -> int:
        codes = {code, *(f"{code} {entity}" for entity in (awaited.entities if awaited else ()))}
        return usual if self.delayed.isdisjoint(codes) else max(usual, ASYNC_GRACE)


def shown_cause(document: Document, moment: Moment) -> ShownCause | None:
    """Return the cause that may be reported.

    A missing row is reported only up to the watermark of its source, and not while a changed row of an awaited entity
    is unread, because that may be the missing row.
    """
    awaited = document.awaited
    if awaited is None or document.cause is None:
        return document.cause
    until = moment.until.get(awaited.source)
    if until is not None and until < document.since + moment.grace(document.cause, awaited):
        return "feed-silent"
    if until is None and not all(moment.observed(entity) for entity in awaited.entities):
        return "not-observed"
    return document.cause if moment.read(awaited) else "not-read-yet"


def is_reportable(finding: Finding, moment: Moment) -> bool:
    """Return True if a finding may be reported now. One that rests on a missing row needs a watermark after its grace
    period.

    Without heartbeats, it is reported after the grace period, but never for entities that the environment does not
    send. It is not reported while changed rows of an awaited entity are unread.
    """
    entity = finding.subject.split(":", 2)[1]
    awaited = _AWAITED.get(finding.code) or _AWAITED.get(f"{finding.code} {entity}")
    if awaited is None:
        return True
    if not moment.read(awaited):
        return False
    mature = finding.evidence.at + moment.finding_grace(finding.code, awaited)
    until = moment.until.get(awaited.source)
    if until is not None:
        return until >= mature
    return (moment.now is None or moment.now >= mature) and all(map(moment.observed, awaited.entities))


def in_flight(document: Document, moment: Moment) -> bool:
    """Return True if a document is within the grace period of its step: in progress, counted in the tiles,
    no warning.
    """
    if moment.now is None or document.position not in ("missing-actual", "missing-journal-line"):
        return False
    return moment.now < document.since + moment.grace(document.cause, document.awaited)


def timed_findings(document: Document, end_of_today: int) -> tuple[str, ...]:
    """Return the codes of findings that depend on the time alone.

    A line in processing for too long; an event in the future, which has precedence over every correction until that
    time.
    """
    if document.cause == "processing" and end_of_today - document.since > STUCK:
        return ("processing-too-long",)
    if document.since - end_of_today > AHEAD:
        return ("clock-ahead",)
    return ()
