"""Alerts: what a person should hear of without looking (R84). Which stand, from facts; which began and which ended.

An alert is known by its key: while the same key stands it is the same alert, told once when it begins and once when it
ends.
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
"""So many days before its end a period is about to be closed, and from then on until it is."""


class Alert(msgspec.Struct, frozen=True):
    """Something that stands; `says` is for people: what it is, and what to do."""

    key: str
    kind: AlertKind
    company: str | None
    text: str
    detail: dict[str, Any] = {}


class TrackedAlert(msgspec.Struct, frozen=True):
    """An alert since when it stands, and until when it stood (microseconds since 1970 UTC); `told` is what was told of
    it last, None while nothing was.
    """

    alert: Alert
    began: int
    ended: int | None = None
    sent: AlertStage | None = None

    @property
    def due(self) -> AlertStage | None:
        """What is to be told next: of one that has ended already first that it began."""
        if self.sent is None:
            return "began"
        return "ended" if self.ended is not None else None

    def event(self, stage: AlertStage, prefix: str) -> dict[str, Any]:
        """What is told, as a CloudEvent. Told twice, it has the same id."""
        at = self.began if stage == "began" or self.ended is None else self.ended
        return _event(f"{self.alert.key} {self.began} {stage}", prefix, stage, at, self.as_json())

    def as_json(self) -> dict[str, Any]:
        """For programs."""
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
    """A CloudEvent that says nothing but that it has come."""
    data = {"text": "Test alert of tieout: this receiver works."}
    return _event(identifier, prefix, "test", at, data)


def _event(identifier: str, prefix: str, what: str, at: int, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": identifier,
        "source": f"/tieout/{prefix}",
        "type": f"tieout.alert.{what}",
        "time": iso(at),
        "datacontenttype": "application/json",
        "data": data,
    }


def compare(
    before: Mapping[str, AlertKind], standing: Iterable[Alert], looked_at: Collection[AlertKind]
) -> tuple[list[Alert], list[str]]:
    """What began, and the keys of what ended, given the keys that stood before. What was not looked at goes on."""
    now = {alert.key: alert for alert in standing}
    began = [alert for key, alert in now.items() if key not in before]
    return began, [key for key, kind in before.items() if kind in looked_at and key not in now]


# --- from facts to alerts ---------------------------------------------------------------------------------------------


def silent_feeds(until: Mapping[str, int]) -> list[Alert]:
    """Of sources that are silent, with the time up to which each is known complete."""
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
    """Of what was tried five times, or throttled for hours, and is tried again only when a person asks for it."""
    found: dict[tuple[str, str], list[Sync]] = {}
    for sync in stopped:
        found.setdefault((sync.action, sync.subject), []).append(sync)
    alerts = []
    for (action, subject), syncs in sorted(found.items()):
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
    """Of events that could not be understood, by the day (YYYY-MM-DD) on which they were rejected."""
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


def not_read(waiting: Iterable[UnreadRows]) -> list[Alert]:
    """Of tables with rows that wait to be read again."""
    return [
        Alert(
            key=f"rows-not-read {one.entity}",
            kind="rows-not-read",
            company=None,
            text=f"{one.entity}: {one.rows:,} {'row was' if one.rows == 1 else 'rows were'} not read since "
            f"{iso(one.since)}, after a truncated event or one that carries keys only. {REMEDY}",
            detail={"table": one.entity, "rows": one.rows, "since": iso(one.since)},
        )
        for one in waiting
    ]


def failed_checks(found: Mapping[str, str]) -> list[Alert]:
    """Of self-checks, by name, with what they found."""
    return [
        Alert(f"self-check-failed {name}", "self-check-failed", None, text, {"check": name})
        for name, text in sorted(found.items())
    ]


def closing(company: Company, today: date) -> list[Period]:
    """The open periods of a company that end within days, or have ended."""
    last = (today + timedelta(days=CLOSING_DAYS)).isoformat()
    return [period for period in company.periods if period.status == "open" and period.end <= last]


def unreconciled(company: Company, period: Period, amount: int, limit: int) -> list[Alert]:
    """Of a period that is about to be closed with more than `limit` unreconciled, in units of the accounting currency;
    of an amount below zero as well.
    """
    if abs(amount) <= limit:
        return []
    shown = f"{money.text(amount, company.currency)} {company.currency or ''}".rstrip()
    return [
        Alert(
            key=f"amount-before-close {company.code} {period.start}",
            kind="amount-before-close",
            company=company.code,
            text=f"{company.code}: {shown} of the period {period.start} to {period.end} are unreconciled, and the "
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
