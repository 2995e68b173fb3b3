"""What the table of alerts promises to all workers on a store (R84), on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from engine.alerts import Alert, TrackedAlert
from store.operational.alerts import SqlAlerts

pytestmark = pytest.mark.requirement("R84")

SECOND = 1_000_000
SILENT = Alert("feed-silent finance", "feed-silent", None, "Finance is silent.", {"source": "finance"})
REJECTED = Alert("events-rejected 2025-01-08", "events-rejected", None, "1 event could not be understood.")


class AlertsContract:
    """What it promises."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    def test_an_alert_is_told_when_it_begins_and_when_it_ends_and_then_is_gone(self, engine: Engine) -> None:
        kept = SqlAlerts(engine)
        assert kept.record([SILENT], ["feed-silent"], 1) == ([SILENT], [])
        assert kept.record([SILENT], ["feed-silent"], 2) == ([], [])
        assert told(kept, 3) == [("feed-silent finance", "began")]
        assert told(kept, 4) == []
        assert kept.record([], ["feed-silent"], 5) == ([], ["feed-silent finance"])
        assert kept.record([], ["feed-silent"], 6) == ([], [])
        assert told(kept, 7) == [("feed-silent finance", "ended")]
        assert kept.all() == []

    def test_a_worker_that_starts_again_does_not_tell_again(self, engine: Engine) -> None:
        assert SqlAlerts(engine).record([SILENT], ["feed-silent"], 1)[0]
        assert told(SqlAlerts(engine), 2)
        again = SqlAlerts(engine)
        assert again.record([SILENT], ["feed-silent"], 3) == ([], [])
        assert told(again, 4) == []
        assert again.all() == [TrackedAlert(SILENT, 1, None, "began")]

    def test_what_ended_before_it_was_told_is_told_in_order(self, engine: Engine) -> None:
        kept = SqlAlerts(engine)
        kept.record([SILENT], ["feed-silent"], 1)
        kept.record([], ["feed-silent"], 2)
        assert told(kept, 3) == [("feed-silent finance", "began"), ("feed-silent finance", "ended")]

    def test_what_stands_again_before_its_end_was_told_begins_anew_after_that(self, engine: Engine) -> None:
        kept = SqlAlerts(engine)
        kept.record([SILENT], ["feed-silent"], 1)
        told(kept, 2)
        kept.record([], ["feed-silent"], 3)
        assert kept.record([SILENT], ["feed-silent"], 4) == ([], [])
        assert told(kept, 5) == [("feed-silent finance", "ended")]
        assert kept.record([SILENT], ["feed-silent"], 6) == ([SILENT], [])

    def test_what_was_not_looked_at_goes_on(self, engine: Engine) -> None:
        kept = SqlAlerts(engine)
        kept.record([SILENT, REJECTED], ["feed-silent", "events-rejected"], 1)
        assert kept.record([], ["feed-silent"], 2) == ([], [SILENT.key])

    def test_an_alert_is_one_tellers_at_a_time_and_comes_again_when_he_is_silent(self, engine: Engine) -> None:
        one, other = SqlAlerts(engine), SqlAlerts(engine)
        one.record([SILENT], ["feed-silent"], 1)
        assert one.claim(10, 10 + SECOND) is not None
        assert other.claim(11, 11 + SECOND) is None
        assert other.claim(10 + SECOND, 10 + 2 * SECOND) is not None

    def test_workers_that_look_and_tell_together_tell_each_alert_once(self, engine: Engine) -> None:
        many = [Alert(f"events-rejected {day}", "events-rejected", None, "…") for day in range(20)]

        def work(_: int) -> list[tuple[str, str]]:
            kept = SqlAlerts(engine)
            kept.record(many, ["events-rejected"], 1)
            return told(kept, 2)

        with ThreadPoolExecutor(4) as pool:
            found = [one for each in pool.map(work, range(4)) for one in each]
        assert sorted(found) == sorted((one.key, "began") for one in many)


def told(kept: SqlAlerts, now: int) -> list[tuple[str, str]]:
    """Send all pending alerts: their keys and stages."""
    found: list[tuple[str, str]] = []
    while (one := kept.claim(now, now + SECOND)) is not None:
        assert one.due is not None
        kept.mark_sent(one, one.due)
        found.append((one.alert.key, one.due))
    return found


@pytest.mark.containers
class TestOnPostgres(AlertsContract):
    @pytest.fixture
    def engine(self, postgres_store: Engine) -> Engine:
        return postgres_store


class TestOnSqlite(AlertsContract):
    @pytest.fixture
    def engine(self, sqlite_store: Engine) -> Engine:
        return sqlite_store
