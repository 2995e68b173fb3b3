"""`tieout migrate` and `tieout check`: each check is ok or states the remedy."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.support.commandline import Outcome, Tieout, typist

DEMO = ("tieout.finance.changes/0", "tieout.dataverse.changes/0")


@pytest.fixture
def tieout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tieout:
    """A command in a folder of its own, where the demo has run."""
    return typist(tmp_path, {}, monkeypatch, capfd)


def checks(outcome: Outcome) -> dict[str, list[dict[str, Any]]]:
    """The lines of `check --json` by what they are about."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in json.loads(outcome.out)["checks"]:
        found.setdefault(line["check"], []).append(line)
    return found


def faults(outcome: Outcome) -> dict[str, str]:
    """What `check --json` finds wrong."""
    return {line["check"]: line["says"] for line in json.loads(outcome.out)["checks"] if line["ok"] is False}


@pytest.fixture
def played(tieout: Tieout) -> Tieout:
    assert tieout("demo", "--no-serve", "--folder", ".").code == 0
    places = {"broker": "embedded:///demo-log.sqlite", "store": "sqlite:///demo-store.sqlite"}
    assert tieout("check", "--json", **places, today="2025-01-08", companies="USPM").code == 0
    return tieout


def change(statement: str) -> None:
    """Write to the store of the demo behind its back."""
    connection = sqlite3.connect("demo-store.sqlite")
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.requirement("R73", "R74")
def test_migrate_makes_what_is_missing_and_leaves_alone_what_is_there(tieout: Tieout) -> None:
    first = tieout("migrate", partitions="2")
    assert first.code == 0
    assert "store sqlite:///.tieout/store.sqlite: created with schema" in first.out
    assert "topic tieout.finance.changes: created with 2 partitions" in first.out
    again = tieout("migrate")
    assert again.code == 0
    assert all("up to date" in line for line in again.out.splitlines())
    assert tieout("check").code == 0


def test_migrate_says_what_is_wrong_with_a_topic_and_ends_with_1(tieout: Tieout) -> None:
    assert tieout("migrate", partitions="2").code == 0
    other = tieout("migrate", partitions="3")
    assert other.code == 1
    assert "has 2 partitions and the settings say 3" in other.err


def test_check_names_each_thing_and_how_it_is(played: Tieout) -> None:
    told = played("check")
    assert told.code == 0
    *results, conclusion = told.out.splitlines()
    assert conclusion == "All checks passed."
    lines = [line.split(maxsplit=2) for line in results]
    assert [name for _, name, _ in lines] == [
        *"settings maps broker topics store writer environments outbox state notices tiles account".split(),
        *"companies tables offsets lag effects".split(),
    ]
    assert {mark for mark, _, _ in lines} == {"ok"}
    assert set(checks(played("check", "--json"))["lag"][0]["detail"]) == {*DEMO, "tieout.commands/0"}


def test_a_setting_that_cannot_be_read_is_a_line_of_its_own(tieout: Tieout) -> None:
    told = tieout("check", "--json", broker="rabbit://localhost")
    assert told.code == 1
    assert "TIEOUT_BROKER='rabbit://localhost'" in faults(told)["settings"]
    assert tieout("check").out.startswith("FAULT   settings")


def test_where_nothing_is_yet_it_is_said_how_to_begin(tieout: Tieout) -> None:
    told = tieout("check", "--json")
    assert told.code == 1
    assert "There is no event log" in faults(told)["broker"]
    assert "there is no such store yet" in faults(told)["store"]
    assert checks(told)["effects"][0]["ok"] is None
    assert not Path(".tieout").exists()


def test_a_password_in_the_store_is_not_told(tieout: Tieout) -> None:
    told = tieout("check", store="postgresql+psycopg://someone:secret@localhost:1/nowhere")
    assert told.code == 1
    assert "secret" not in told.out + told.err


def test_a_secret_in_a_settings_file_that_everybody_may_read_is_a_warning(played: Tieout) -> None:
    Path("tieout.toml").write_text('client_secret = "unsaid"\n', encoding="utf-8")
    Path("tieout.toml").chmod(0o644)
    told = played("check")
    assert (
        told.code,
        "warning: every user can read tieout.toml, which contains client_secret" in told.out,
        "unsaid" in told.out,
    ) == (0, True, False)
    Path("tieout.toml").chmod(0o600)
    assert "warning" not in played("check").out


@pytest.mark.parametrize(
    ("statement", "check", "says"),
    [
        ("UPDATE totals SET sums = '9' || sums WHERE kind = 'expense'", "tiles", "totals do not match"),
        ("DELETE FROM documents WHERE document = 'USPM/USPM-PT000487'", "tiles", "2025-01-08 USD: documents"),
        ("DELETE FROM totals", "tiles", "documents 0 unlike"),
        ("DELETE FROM reconciliations", "tiles", "USPM 2024-01-15, reconciled on 2024-01-17: 0 unlike 7872500"),
        ("UPDATE documents SET cleared = cleared + 1 WHERE cleared > 0", "account", "of its postings"),
        ("DELETE FROM postings", "account", "unlike 0 of its postings"),
        ("DELETE FROM records", "effects", "is not there as late as that"),
        ("DELETE FROM sources", "effects", "is not known to be complete up to then"),
        ("UPDATE offsets SET next = 100000", "offsets", "the log ends at"),
        ("UPDATE offsets SET topic = 'other.' || topic", "offsets", "the partition does not exist"),
        ("UPDATE alembic_version SET version_num = '9999'", "store", "9999, which is newer"),
        ("UPDATE settings SET value = 'other' WHERE name = 'maps'", "store", "built under other maps"),
        ("INSERT INTO outbox VALUES (1, 'positions', x'00', x'00', 1)", "outbox", "1 records are not published"),
    ],
)
@pytest.mark.requirement("R82")
def test_a_store_that_does_not_fit_is_noticed(played: Tieout, statement: str, check: str, says: str) -> None:
    change(statement)
    told = played("check", "--json")
    assert told.code == 1
    # What breaks the totals breaks the account, which is computed from them.
    assert {check} <= set(faults(told)) <= {check, "tiles", "account"}
    assert says in faults(told)[check]


def test_an_event_that_is_not_applied_yet_is_lag_and_no_fault(played: Tieout) -> None:
    event = {"topic": "finance.changes", "key": "1", "value": {"entity": "none"}}
    Path("more.jsonl").write_text(json.dumps(event) + "\n")
    assert played("ingest", "more.jsonl").code == 0
    told = played("check", "--json")
    assert told.code == 0
    assert "1 events are not applied yet (tieout.finance.changes/0: 1)" in checks(told)["lag"][0]["says"]


@pytest.mark.requirement("R7")
def test_a_rejected_event_counts_as_applied_when_it_is_on_its_topic_or_waits_to_go_there(played: Tieout) -> None:
    event = {"topic": "finance.changes", "key": "1", "value": {"entity": "none"}}
    Path("more.jsonl").write_text(json.dumps(event) + "\n")
    assert played("ingest", "more.jsonl").code == 0
    # As a store that went past it without a word.
    change("UPDATE offsets SET next = next + 1, last = NULL WHERE topic LIKE '%finance.changes'")
    told = played("check", "--json")
    assert "neither on the rejected topic nor in the outbox" in faults(told)["effects"]
    change("UPDATE offsets SET next = next - 1 WHERE topic LIKE '%finance.changes'")
    assert played("run", "--until-caught-up").code == 0
    assert played("check").code == 0
