"""`tieout rejected`: lists, shows and resubmits dead letters."""

import base64
import json
from pathlib import Path

import pytest

from tests.support.commandline import Tieout, error_text, ingest_and_project
from tests.support.ingest_lines import json_lines, posted_expense, row_change


@pytest.mark.requirement("R7")
def test_rejected_events_are_listed_and_shown_with_reason_place_and_bytes(tieout: Tieout) -> None:
    unknown = row_change("NoSuchTable", "1")
    unknown["headers"] = {"trace": "abc"}
    binary = {"topic": "dataverse.changes", "value_base64": base64.b64encode(b"\x00\xff\x01").decode()}
    ingest_and_project(tieout, json_lines(unknown, binary, posted_expense("000123")))

    listed = tieout("rejected", "list")
    assert listed.code == 0
    assert "tieout.finance.changes/0/0" in listed.out
    assert "NoSuchTable" in listed.out

    by_id = {event["id"]: event for event in tieout("rejected", "list", "--json").lines}
    assert by_id.keys() == {"tieout.finance.changes/0/0", "tieout.dataverse.changes/0/0"}
    assert base64.b64decode(by_id["tieout.dataverse.changes/0/0"]["value"]) == b"\x00\xff\x01"
    assert "not JSON" in by_id["tieout.dataverse.changes/0/0"]["reason"]

    shown = tieout("rejected", "show", "tieout.finance.changes/0/0")
    for part in ("in no map", "tieout.finance.changes", "trace", "abc", '"entity": "NoSuchTable"'):
        assert part in shown.out
    assert "00 ff 01" in tieout("rejected", "show", "dataverse.changes/0/0").out
    (program,) = tieout("rejected", "show", "finance.changes/0/0", "--json").lines
    assert json.loads(program["text"]) == unknown["value"]
    assert "no rejected event" in error_text(tieout("rejected", "show", "finance.changes/0/9"))

    # The rest went on.
    assert tieout("chain", "USPM/000123").code == 0


@pytest.mark.requirement("R7")
def test_rejected_events_are_filtered_and_paged(tieout: Tieout) -> None:
    binary = {"topic": "dataverse.changes", "value_base64": base64.b64encode(b"\x00\xff\x01").decode()}
    ingest_and_project(tieout, json_lines(*(row_change(f"NoSuchTable{number}", "1") for number in range(5)), binary))

    def ids(*options: str) -> list[str]:
        return [event["id"] for event in tieout("rejected", "list", "--json", *options).lines]

    finance = [f"tieout.finance.changes/0/{number}" for number in range(5)]
    assert sorted(ids()) == ["tieout.dataverse.changes/0/0", *finance]
    assert ids("--topic", "finance.changes") == finance
    assert ids("--topic", "tieout.dataverse.changes") == ids("--reason", "NOT json") == ["tieout.dataverse.changes/0/0"]
    assert ids("--reason", "nosuchtable3") == finance[3:4]
    assert (ids("--to", "2020-01-01"), ids("--from", "9999-01-01"), ids("--topic", "nothing")) == ([], [], [])
    day = tieout("rejected", "list", "--json").lines[0]["rejected_at"][:10]
    assert len(ids("--from", day)) == 6

    first = tieout("rejected", "list", "--topic", "finance.changes", "--limit", "2")
    assert ("NoSuchTable1" in first.out, "NoSuchTable2" in first.out) == (True, False)
    assert first.out.endswith("3 more. To list them, add --after tieout.finance.changes/0/1\n")
    assert ids("--topic", "finance.changes", "--limit", "2", "--after", "finance.changes/0/1") == finance[2:4]
    assert "more" not in tieout("rejected", "list", "--topic", "finance.changes", "--after", finance[1]).out
    assert "no rejected event" in error_text(tieout("rejected", "list", "--after", "finance.changes/0/9"))
    assert tieout("rejected", "list", "--from", "2025-01-02", "--to", "2025-01-01").code == 2


@pytest.mark.requirement("R7")
def test_an_event_that_was_published_as_rejected_twice_is_listed_once(tieout: Tieout, tmp_path: Path) -> None:
    ingest_and_project(tieout, json_lines(row_change("NoSuchTable", "1")))
    (tmp_path / "store.sqlite").unlink()
    assert tieout("run", "--until-caught-up").code == 0
    assert len(tieout("rejected", "list", "--json").lines) == 1


@pytest.mark.requirement("R7", "R85")
def test_an_event_that_is_sent_again_is_read_under_todays_settings_and_leaves_the_list(
    tieout: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_ENVIRONMENTS", "other")
    ingest_and_project(tieout, json_lines(posted_expense("000123"), row_change("NoSuchTable", "1")))
    assert len(tieout("rejected", "list", "--json").lines) == 2
    assert tieout("chain", "USPM/000123").code == 1

    monkeypatch.setenv("TIEOUT_ENVIRONMENTS", "contoso")
    assert "1 event resubmitted" in tieout("rejected", "resubmit", "finance.changes/0/0").err
    assert tieout("run", "--until-caught-up").code == 0
    assert tieout("chain", "USPM/000123").code == 0
    (left,) = tieout("rejected", "list", "--json").lines
    assert left["id"] == "tieout.finance.changes/0/1"

    # What still cannot be understood comes back under its new place.
    assert "1 event resubmitted" in tieout("rejected", "resubmit", "--reason", "other", "--yes").err
    assert tieout("run", "--until-caught-up").code == 0
    (left,) = tieout("rejected", "list", "--json").lines
    assert left["id"] == "tieout.finance.changes/0/3"
    assert "in no map" in left["reason"]


@pytest.mark.requirement("R7")
def test_resubmit_asks_first_and_wants_to_know_what(tieout: Tieout) -> None:
    ingest_and_project(tieout, json_lines(row_change("NoSuchTable", "1")))
    assert tieout("rejected", "resubmit", "--all", stdin=b"n\n").code == 1
    assert len(tieout("rejected", "list", "--json").lines) == 1
    assert "name one event" in tieout("rejected", "resubmit").err
    assert "no rejected event" in error_text(tieout("rejected", "resubmit", "finance.changes/0/9"))
