"""Alerts: conditions that a person is notified of (R84), derived from facts, and their beginning and end.

An alert is identified by its key. While its condition holds it is the same alert: one event is sent when it begins and
one when it ends.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Any, Final, Literal

import msgspec

from engine import money
from engine.calendar import Company, Period
from engine.events.facts import iso
from engine.events.notices import REMEDY, UnreadRows
from engine.sync.attempts import Sync

AlertKind = Literal[
    "feed-silent", "waits-for-person", "events-rejected", "rows-not-read", "self-check-failed", "amount-before-close"
]
AlertStage = Literal["began", "ended"]

CLOSING_DAYS: Final = 5
"""Number of days before its end from which an open period counts as about to be closed."""


class Alert(msgspec.Struct, frozen=True):
    """A condition that holds. `text` is for people: the condition, and what to do."""

    key: str
    kind: AlertKind
    company: str | None
    text: str
    detail: dict[str, Any] = {}


class TrackedAlert(msgspec.Struct, frozen=True):
    """An alert with its beginning and end, in microseconds since 1970 UTC, and the stage of which an event was sent
    last.

    `ended` is None while the condition holds, `sent` is None until the first event was sent.
    """

    alert: Alert
    began: int
    ended: int | None = None
    sent: AlertStage | None = None

    @property
    def due(self) -> AlertStage | None:
        """The stage of the next event to send. An alert that has already ended sends its beginning first."""
        if self.sent is None:
            return "began"
        return "ended" if self.ended is not None else None

    def event(self, stage: AlertStage, prefix: str) -> dict[str, Any]:
        """Return the CloudEvent of a stage. Its id depends on alert, beginning and stage alone, so receivers can
        deduplicate.
        """
        at = self.began if stage == "began" or self.ended is None else self.ended
        return _event(f"{self.alert.key} {self.began} {stage}", prefix, stage, at, self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the data of the CloudEvent."""
        return {
            "alert": self.alert.key,
            "kind": self.alert.kind,
            "company": self.alert.company,
            "text": self.alert.text,
            "since": iso(self.began),
            "until": None if self.ended is None else iso(self.ended),
            "detail": self.alert.detail,
        }


def trial_event(identifier: str, prefix: str, at: int) -> dict[str, Any]:
    """Return a CloudEvent that tests the receiver."""
    data = {"text": "Test alert of tieout: this receiver works."}
    return _event(identifier, prefix, "test", at, data)


def _event(identifier: str, prefix: str, stage: str, at: int, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": identifier,
        "source": f"/tieout/{prefix}",
        "type": f"tieout.alert.{stage}",
        "time": iso(at),
        "datacontenttype": "application/json",
        "data": data,
    }


def compare(
    before: Mapping[str, AlertKind], current: Iterable[Alert], evaluated: Collection[AlertKind]
) -> tuple[list[Alert], list[str]]:
    """Compare the alerts before with those that hold now; return the alerts that began and the keys of those that
    ended.

    An alert whose kind is not among `evaluated` continues.
    """
    now = {alert.key: alert for alert in current}
    began = [alert for key, alert in now.items() if key not in before]
    return began, [key for key, kind in before.items() if kind in evaluated and key not in now]


# --- from facts to alerts ---------------------------------------------------------------------------------------------


def silent_feeds(until: Mapping[str, int]) -> list[Alert]:
    """Return an alert for each silent source, given the time up to which each is complete, in microseconds since 1970
    UTC.
    """
    return [
        Alert(
            key=f"feed-silent {source}",
            kind="feed-silent",
            company=None,
            text=f"{source.capitalize()} is known complete up to {iso(at)} only. Nothing later is reported as "
            "missing. Check its feed.",
            detail={"source": source, "complete_until": iso(at)},
        )
        for source, at in sorted(until.items())
    ]


def waiting(stopped: Iterable[Sync]) -> list[Alert]:
    """Return an alert for each subject whose attempts stopped: all five failed, or it was throttled for hours."""
    by_subject: dict[tuple[str, str], list[Sync]] = {}
    for sync in stopped:
        by_subject.setdefault((sync.action, sync.subject), []).append(sync)
    alerts = []
    for (action, subject), syncs in sorted(by_subject.items()):
        names = sorted(sync.document for sync in syncs)
        last = max(syncs, key=lambda sync: sync.last_at or 0)
        alerts.append(
            Alert(
                key=f"waits-for-person {action} {subject}",
                kind="waits-for-person",
                company=last.company,
                text=f"{subject}: {action} stopped after {last.attempts.made} attempts and needs attention. "
                f"Last response: {last.last_text or 'none'}",
                detail={"action": action, "subject": subject, "documents": names, "made": last.attempts.made},
            )
        )
    return alerts


def rejected(numbers: Mapping[str, int]) -> list[Alert]:
    """Return an alert for each day (YYYY-MM-DD) with events on the rejected topic, given their number."""
    return [
        Alert(
            key=f"events-rejected {day}",
            kind="events-rejected",
            company=None,
            text=f"{number:,} {'event' if number == 1 else 'events'} of {day} could not be understood. Run "
            "`tieout rejected list` to list them.",
            detail={"day": day, "events": number},
        )
        for day, number in sorted(numbers.items())
    ]


def not_read(tables: Iterable[UnreadRows]) -> list[Alert]:
    """Return an alert for each table with overdue rows."""
    return [
        Alert(
            key=f"rows-not-read {table.entity}",
            kind="rows-not-read",
            company=None,
            text=f"{table.entity}: {table.rows:,} {'row was' if table.rows == 1 else 'rows were'} not read since "
            f"{iso(table.since)}, after a truncated event or one that carries keys only. {REMEDY}",
            detail={"table": table.entity, "rows": table.rows, "since": iso(table.since)},
        )
        for table in tables
    ]


def failed_checks(results: Mapping[str, str]) -> list[Alert]:
    """Return an alert for each failed self-check, given its name and result."""
    return [
        Alert(f"self-check-failed {name}", "self-check-failed", None, text, {"check": name})
        for name, text in sorted(results.items())
    ]


def closing(company: Company, today: date) -> list[Period]:
    """Return the open periods of a company that end within `CLOSING_DAYS` days or have ended."""
    last = (today + timedelta(days=CLOSING_DAYS)).isoformat()
    return [period for period in company.periods if period.status == "open" and period.end <= last]


def unreconciled(company: Company, period: Period, amount: int, limit: int) -> list[Alert]:
    """Return an alert for a period that is about to be closed if its unreconciled amount exceeds `limit` in absolute
    value.

    Both are in units of 1/10000 of the accounting currency.
    """
    if abs(amount) <= limit:
        return []
    total = f"{money.text(amount, company.currency)} {company.currency or ''}".rstrip()
    return [
        Alert(
            key=f"amount-before-close {company.code} {period.start}",
            kind="amount-before-close",
            company=company.code,
            text=f"{company.code}: {total} of the period {period.start} to {period.end} are unreconciled, and the "
            "period is about to be closed.",
            detail={
                "start": period.start,
                "end": period.end,
                "amount": money.text(amount, company.currency),
                "limit": money.text(limit, company.currency),
                "currency": company.currency,
            },
        )
    ]
