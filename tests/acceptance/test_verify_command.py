"""`tieout verify`: compares the store with what its topics lead to."""

from pathlib import Path

import pytest

from tests.support.commandline import Tieout, change_store, error_text, ingest_and_project
from tests.support.ingest_lines import json_lines, posted_expense


@pytest.mark.requirement("R72")
def test_verify_finds_no_difference_and_changes_nothing(demonstrated: Tieout) -> None:
    dumped = demonstrated("dump").out
    listed = demonstrated("rejected", "list", "--json").out
    outcome = demonstrated("verify")
    assert outcome.code == 0, outcome
    assert "no difference" in outcome.out
    assert demonstrated("verify", "--json").out == ""
    assert (demonstrated("dump").out, demonstrated("rejected", "list", "--json").out) == (dumped, listed)


@pytest.mark.requirement("R72")
@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE documents SET amount = amount + 1 WHERE document = 'USPM/2'", "document_row"),
        ("DELETE FROM documents WHERE document = 'USPM/1'", "document_row"),
        ("DELETE FROM records WHERE key LIKE '%:2'", "record"),
        ("UPDATE totals SET sums = replace(sums, '3 ', '4 ')", "total"),
    ],
)
def test_verify_shows_a_row_that_was_changed_by_hand(tieout: Tieout, tmp_path: Path, statement: str, what: str) -> None:
    ingest_and_project(tieout, json_lines(posted_expense("1"), posted_expense("2"), posted_expense("3")))
    assert tieout("verify").code == 0
    change_store(tmp_path / "store.sqlite", statement)
    outcome = tieout("verify")
    assert outcome.code == 1
    assert outcome.out.startswith(what)
    assert "1 difference." in outcome.out
    (difference,) = tieout("verify", "--json").lines
    assert difference["what"] == what


@pytest.mark.requirement("R72")
def test_verify_looks_at_what_the_store_has_read_and_no_further(tieout: Tieout) -> None:
    ingest_and_project(tieout, json_lines(posted_expense("1")))
    assert tieout("ingest", "-", stdin=json_lines(posted_expense("2"))).code == 0
    outcome = tieout("verify")
    assert (outcome.code, "1 event read" in outcome.out) == (0, True)


def test_verify_refuses_a_store_that_was_built_under_other_maps(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest_and_project(tieout, json_lines(posted_expense("1")))
    (tmp_path / "own.toml").write_text(
        'schema = 1\nversion = "1"\nsource = "finance"\n[entities.Own]\nrecord = "later"\n'
    )
    monkeypatch.setenv("TIEOUT_MAPS", "own.toml")
    assert "other maps" in error_text(tieout("verify"))
