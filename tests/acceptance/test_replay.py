"""A period is replayed: what changes is shown first, and the store ends where a new one would be (R70)."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from engine.errors import QueryError, StoreReplaced
from store.projection.tile_totals import SUMMED
from store.proof.dump import dump
from store.schema import tables
from streams.embedded.log import EmbeddedLog
from streams.faust_app import run
from streams.log import EventLog, NewRecord
from streams.topics import POSITIONS
from tests.support.mending import WRONG_MAP
from tests.support.stores import Event, body
from tieout.bootstrap import open_log, open_projector, open_store, projected_topics
from tieout.maintenance.replay import prepare_replay
from tieout.maintenance.topic_reader import records
from tieout.maintenance.verify import verify
from tieout.settings import Settings
from tieout.simulator import ingest_lines, simulate

COMPANIES = ("USPM",)


def everything(company: str, date: str) -> bool:
    return True


def settings_in(folder: Path, **others: object) -> Settings:
    places = {
        "broker": f"embedded:///{folder}/log.sqlite",
        "store": f"sqlite:///{folder}/store.sqlite",
        "today": "2025-01-08",
        "companies": COMPANIES,
    }
    return msgspec.convert({**places, **others}, Settings, strict=False)


def ingest(log: EventLog, events: Sequence[dict[str, object]], prefix: str = "tieout") -> None:
    log.append([NewRecord(f"{prefix}.{event['topic']}", str(event["key"]).encode(), body(event)) for event in events])


def project(settings: Settings) -> None:
    with open_projector(settings) as (log, projector):
        run(log, projector, topics=projected_topics(settings), until_caught_up=True)


def canonical(settings: Settings) -> list[str]:
    with open_store(settings, write=False) as engine:
        return [json.dumps(line, sort_keys=True) for line in dump(engine)]


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return [json.loads(line) for line in ingest_lines(simulate("small", 3).events)]


@pytest.fixture
def settings(tmp_path: Path, events: list[Event]) -> Settings:
    settings = settings_in(tmp_path)
    with open_log(settings, write=True) as log:
        ingest(log, events)
    project(settings)
    return settings


@pytest.fixture
def wrong(settings: Settings, tmp_path: Path) -> Settings:
    """The same events, in a store that was built under the wrong map."""
    (tmp_path / "wrong.toml").write_text(WRONG_MAP, encoding="utf-8")
    places = {"store": f"sqlite:///{tmp_path}/wrong.sqlite", "maps": (str(tmp_path / "wrong.toml"),)}
    wrong = msgspec.structs.replace(settings, **places)
    project(wrong)
    assert canonical(wrong) != canonical(settings)
    return wrong


def missing(settings: Settings) -> tuple[int, int]:
    """What the expenses of the company come to that are in a sum."""
    table = tables.documents
    parts = [func.sum(table.c.accounting_missing_actual), func.sum(table.c.accounting_missing_journal_line)]
    expenses = (table.c.company == "USPM", table.c.kind == "expense", table.c.views.op("&")(SUMMED) != 0)
    with open_store(settings, write=False) as engine, engine.connect() as connection:
        return tuple(connection.execute(select(*parts).where(*expenses)).one())


def positions(settings: Settings) -> dict[bytes | None, bytes]:
    """What the positions topic comes to once it is compacted."""
    kept: dict[bytes | None, bytes] = {}
    with open_log(settings, write=False) as log:
        for record in records(log, POSITIONS.full_name(settings.prefix)):
            if record.value is None:
                kept.pop(record.key, None)
            else:
                kept[record.key] = record.value
    return kept


@pytest.mark.requirement("R70")
def test_a_replay_under_the_same_maps_changes_nothing(settings: Settings) -> None:
    before = canonical(settings)
    with prepare_replay(settings, everything) as replay:
        assert (replay.difference.documents, replay.difference.outside, replay.difference.shifts) == (0, 0, [])
        replay.swap(lambda done, total: None)
    assert canonical(settings) == before
    with open_store(settings, write=False) as engine, engine.connect() as connection:
        assert connection.execute(tables.outbox.select()).all() == []


@pytest.mark.requirement("R6", "R70")
def test_mended_maps_are_shown_first_and_end_where_a_new_store_would_be(settings: Settings, wrong: Settings) -> None:
    mended = msgspec.structs.replace(wrong, maps=())
    before = canonical(wrong)
    with prepare_replay(mended, everything) as replay:
        found = replay.difference
        assert found.changed > 40
        assert found.shifts
        parts = found.money["USPM", "expense", "USD"]
        for side, store in enumerate((wrong, settings)):
            assert (parts.missing_actual[side], parts.missing_journal_line[side]) == missing(store)
        assert missing(wrong) != missing(settings)
        assert canonical(wrong) == before
        replay.swap(lambda done, total: None)
    assert canonical(mended) == canonical(settings)
    project(mended)
    assert positions(mended) == positions(settings)


@pytest.mark.requirement("R70")
def test_a_replay_that_is_given_up_leaves_nothing_behind(
    wrong: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = canonical(wrong)
    # A place of its own: other tests rebuild stores meanwhile.
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with prepare_replay(msgspec.structs.replace(wrong, maps=()), everything):
        pass
    with pytest.raises(KeyboardInterrupt), prepare_replay(wrong, everything, interrupt):
        pass
    assert canonical(wrong) == before
    assert list((tmp_path / "temporary").glob("tieout-rebuild-*")) == []


def interrupt(done: int, total: int) -> None:
    if done:
        raise KeyboardInterrupt


@pytest.mark.requirement("R70")
def test_documents_outside_the_period_are_counted_and_not_listed(wrong: Settings) -> None:
    def january(company: str, date: str) -> bool:
        return date >= "2025-01-01"

    with prepare_replay(msgspec.structs.replace(wrong, maps=()), january) as replay:
        assert replay.difference.outside > 0
        assert all(shift.date >= "2025-01-01" for shift in replay.difference.shifts)


@pytest.mark.requirement("R70", "R71")
def test_events_that_arrive_during_a_replay_are_in_the_rebuilt_store_and_the_worker_begins_again_on_it(
    settings: Settings, events: list[Event], tmp_path: Path
) -> None:
    late, early = events[-500:], events[:-500]
    other = settings_in(tmp_path / "other")
    (tmp_path / "other").mkdir()
    with open_log(other, write=True) as log:
        ingest(log, early)
    project(other)
    with open_projector(other) as (log, projector):
        with prepare_replay(other, everything) as replay:
            ingest(log, late)
            run(log, projector, topics=projected_topics(other), until_caught_up=True)
            replay.swap(lambda done, total: None)
        ingest(log, late[:1])
        with pytest.raises(StoreReplaced):
            run(log, projector, topics=projected_topics(other), until_caught_up=True)
    project(other)
    assert canonical(other) == canonical(settings)


@pytest.mark.requirement("R70", "R72")
def test_what_the_log_no_longer_holds_is_taken_from_the_store_in_use(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of each topic is gone, as retention would have it."""
    before = canonical(settings)
    # What is compacted keeps the newest record of each key.
    monkeypatch.setattr(
        EmbeddedLog,
        "start_offset",
        lambda log, topic, partition: 0 if topic.endswith(".state") else log.end_offset(topic, partition) // 2,
    )
    assert verify(settings) == []
    with prepare_replay(settings, everything) as replay:
        assert replay.difference.documents == 0
        replay.swap(lambda done, total: None)
    assert canonical(settings) == before


@pytest.mark.requirement("R70")
def test_an_empty_store_has_nothing_to_replay(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with open_log(settings, write=True), open_store(settings, write=True):
        pass
    with pytest.raises(QueryError, match="read nothing yet"), prepare_replay(settings, everything):
        pass


@pytest.mark.requirement("R70")
def test_the_command_shows_asks_and_puts_in_place(
    wrong: Settings, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        **os.environ,
        "TIEOUT_BROKER": wrong.broker,
        "TIEOUT_STORE": wrong.store,
        "TIEOUT_TODAY": "2025-01-08",
        "TIEOUT_COMPANIES": "USPM",
    }

    def tieout(*arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tieout", "replay", "--from", "2024-01-01", "--to", "2025-12-31", *arguments]
        return subprocess.run(command, env=environment, input=answer, capture_output=True, text=True)

    shown = tieout("--dry-run")
    assert shown.returncode == 0, shown.stderr
    for part in (
        "documents in the period would change",
        "Missing actuals",
        "Before",
        "After",
        "140.00 USD excluded (cancelled)",
    ):
        assert part in shown.stdout
    told = json.loads(tieout("--dry-run", "--json").stdout)
    assert told["documents"]["changed"] > 40
    assert tieout(answer="n\n").returncode == 1
    assert canonical(settings) != canonical(wrong)
    done = tieout("--yes")
    assert (done.returncode, done.stderr) == (0, "The store was replaced by the rebuilt one.\n")
    assert canonical(msgspec.structs.replace(wrong, maps=())) == canonical(settings)
    assert "No document would change" in tieout("--dry-run").stdout
