"""Which alerts stand, and which of them began and ended (R84)."""

from datetime import date
from typing import Any

import pytest

from engine import alerts
from engine.alerts import Alert, AlertKind, TrackedAlert, compare
from engine.calendar import Company, Period, PeriodStatus
from engine.sync.attempts import Attempts, Sync

pytestmark = pytest.mark.requirement("R84")

MINUTE = 60_000_000


def alert(key: str, kind: AlertKind = "feed-silent") -> Alert:
    return Alert(key, kind, None, f"{key} stands.")


CASES: list[tuple[str, dict[str, AlertKind], list[str], set[AlertKind], list[str], list[str]]] = [
    ("nothing stood, nothing stands", {}, [], {"feed-silent"}, [], []),
    ("one begins", {}, ["a"], {"feed-silent"}, ["a"], []),
    ("it goes on", {"a": "feed-silent"}, ["a"], {"feed-silent"}, [], []),
    ("it ends", {"a": "feed-silent"}, [], {"feed-silent"}, [], ["a"]),
    ("one ends, another begins", {"a": "feed-silent"}, ["b"], {"feed-silent"}, ["b"], ["a"]),
    ("what was not looked at goes on", {"a": "self-check-failed"}, [], {"feed-silent"}, [], []),
]


@pytest.mark.parametrize(
    ("before", "standing", "looked_at", "began", "ended"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_an_alert_begins_once_and_ends_once(
    before: dict[str, AlertKind], standing: list[str], looked_at: set[AlertKind], began: list[str], ended: list[str]
) -> None:
    found, gone = compare(before, [alert(key) for key in standing], looked_at)
    assert ([one.key for one in found], gone) == (began, ended)


@pytest.mark.parametrize(
    ("sent", "ended", "due"),
    [(None, None, "began"), ("began", None, None), ("began", 2, "ended"), (None, 2, "began")],
)
def test_first_is_told_that_it_began_then_that_it_ended(sent: Any, ended: int | None, due: str | None) -> None:
    assert TrackedAlert(alert("a"), 1, ended, sent).due == due


def test_what_is_told_twice_has_the_same_id_and_begin_and_end_have_their_own() -> None:
    one = TrackedAlert(alert("a"), MINUTE, 3 * MINUTE)
    began, ended = one.event("began", "tieout"), one.event("ended", "tieout")
    assert one.event("began", "tieout") == began
    assert began == {
        "specversion": "1.0",
        "id": "a 60000000 began",
        "source": "/tieout/tieout",
        "type": "tieout.alert.began",
        "time": "1970-01-01T00:01:00Z",
        "datacontenttype": "application/json",
        "data": {
            "alert": "a",
            "kind": "feed-silent",
            "company": None,
            "text": "a stands.",
            "since": "1970-01-01T00:01:00Z",
            "until": "1970-01-01T00:03:00Z",
            "detail": {},
        },
    }
    assert (ended["type"], ended["time"]) == ("tieout.alert.ended", "1970-01-01T00:03:00Z")
    assert ended["id"] != began["id"]


def sync(document: str, subject: str = "") -> Sync:
    return Sync(
        document=document,
        action="export",
        subject=subject or document,
        company="USPM",
        parameters={},
        attempts=Attempts(state="stopped", made=5),
        by="anna",
        last_text="503",
    )


def test_what_was_stopped_after_five_attempts_waits_for_a_person_one_alert_a_subject() -> None:
    found = alerts.waiting([sync("USPM/1"), sync("USPM/4", "USPM/Inv-1"), sync("USPM/5", "USPM/Inv-1")])
    assert [(one.key, one.detail["documents"]) for one in found] == [
        ("waits-for-person export USPM/1", ["USPM/1"]),
        ("waits-for-person export USPM/Inv-1", ["USPM/4", "USPM/5"]),
    ]
    assert found[0].text == "USPM/1: export stopped after 5 attempts and needs attention. Last response: 503"


def test_rejected_events_are_one_alert_a_day() -> None:
    found = alerts.rejected({"2025-01-08": 1, "2025-01-07": 1_200})
    assert [(one.key, one.text.partition(".")[0]) for one in found] == [
        ("events-rejected 2025-01-07", "1,200 events of 2025-01-07 could not be understood"),
        ("events-rejected 2025-01-08", "1 event of 2025-01-08 could not be understood"),
    ]


def test_silent_feeds_and_failed_checks_say_what_to_look_at() -> None:
    (silent,) = alerts.silent_feeds({"dataverse": MINUTE})
    assert silent.text.startswith("Dataverse is known complete up to 1970-01-01T00:01:00Z only.")
    (failed,) = alerts.failed_checks({"tiles": "kept sums are not those of the documents"})
    assert (failed.key, failed.text) == ("self-check-failed tiles", "kept sums are not those of the documents")


def company(*statuses: PeriodStatus) -> Company:
    """The last months of 2024 and January 2025."""
    months = [("2024-11", "30"), ("2024-12", "31"), ("2025-01", "31")]
    periods = tuple(
        Period(f"{month}-01", f"{month}-{end}", f"{month[:4]}-01-01", f"{month[:4]}-12-31", status)
        for (month, end), status in zip(months, statuses, strict=True)
    )
    return Company("USPM", None, "USD", None, periods)


@pytest.mark.parametrize(
    ("today", "statuses", "closing"),
    [
        ("2025-01-08", ("closed", "open", "open"), ["2024-12-01"]),
        ("2025-01-08", ("open", "open", "open"), ["2024-11-01", "2024-12-01"]),
        ("2025-01-08", ("closed", "on-hold", "open"), []),
        ("2025-01-26", ("closed", "closed", "open"), ["2025-01-01"]),
        ("2025-01-25", ("closed", "closed", "open"), []),
    ],
)
def test_a_period_is_about_to_be_closed_from_five_days_before_its_end_until_it_is(
    today: str, statuses: tuple[PeriodStatus, ...], closing: list[str]
) -> None:
    found = alerts.closing(company(*statuses), date.fromisoformat(today))
    assert [period.start for period in found] == closing


@pytest.mark.parametrize(
    ("amount", "stands"), [(1_000_0000, False), (1_000_0001, True), (-1_000_0001, True), (0, False)]
)
def test_an_amount_above_the_limit_is_an_alert_whatever_its_sign(amount: int, stands: bool) -> None:
    one = company("open", "open", "open")
    found = alerts.unreconciled(one, one.periods[1], amount, 1_000_0000)
    assert bool(found) == stands
    if amount == 1_000_0001:
        assert found[0].key == "amount-before-close USPM 2024-12-01"
        assert found[0].detail["limit"] == "1000.00"
