"""`tieout simulate`: simulated events lead to the outcome that their labels state."""

import json
from pathlib import Path

import pytest

from tests.support.commandline import TODAY, Tieout, all_documents


@pytest.mark.requirement("R4", "R11", "R31", "R32", "R80")
@pytest.mark.parametrize("seed", ["1", "23"])
def test_simulated_events_come_to_the_true_outcome(tieout: Tieout, tmp_path: Path, seed: str) -> None:
    made = tieout("simulate", "--seed", seed, "--out", "events.jsonl", "--labels", "truth.jsonl")
    assert made.code == 0
    # Twice: an event that comes twice counts once.
    assert tieout("ingest", "events.jsonl").code == 0
    assert tieout("run", "--until-caught-up").code == 0
    assert tieout("ingest", "events.jsonl").code == 0
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0

    (summary,) = tieout("summary", "--company", "uspm", "--json").lines
    amounts = {name: (tile["amount"], tile["documents"]) for name, tile in summary["tiles"].items()}
    assert amounts == {
        "vendor_invoice_missing_journal_lines": ("23000.00", 8),
        "vendor_invoice_missing_actuals": ("5000.00", 1),
        "expense_missing_journal_lines": ("5000.00", 9),
        "expense_missing_actuals": ("4000.00", 40),
    }
    assert summary["unreconciled"]["expense"]["amount"] == "9000.00"
    assert summary["unreconciled"]["vendor_invoice"]["amount"] == "28000.00"
    assert (summary["from"], summary["to"], summary["currency"]) == ("2024-03-01", TODAY, "USD")

    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    expected = {label["document"]: label for label in truth if label["company"] == "USPM"}
    found = {row["document"]: row for kind in ("expense", "vendor-invoice-line") for row in all_documents(tieout, kind)}
    assert found.keys() == expected.keys()
    for name, label in expected.items():
        # Labels contain no findings.
        del label["findings"]
        assert {key: found[name][key] for key in label} == label


@pytest.mark.requirement("R1", "R7", "R80")
def test_the_large_company_comes_to_the_true_outcome_once_what_was_lost_is_sent_again(
    tieout: Tieout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_TODAY", "2025-06-30")
    monkeypatch.setenv("TIEOUT_COMPANIES", "USPM,GBPM,JPPM,KWPM")
    files = ("--out", "events.jsonl", "--labels", "truth.jsonl", "--lost", "lost.jsonl")
    assert tieout("simulate", "--company", "large", "--documents", "150", "--seed", "3", *files).code == 0
    for file in ("events.jsonl", "lost.jsonl"):
        assert tieout("ingest", file).code == 0
        assert tieout("run", "--until-caught-up").code == 0
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    expected = {label["document"]: label for label in truth if label["company"] == "JPPM"}
    wide = ("--company", "JPPM", "--from", "2000-01-01", "--to", "2030-01-01", "--view", "all", "--json")
    kinds = ("expense", "vendor-invoice-line")
    found = [row for kind in kinds for row in tieout("documents", "--kind", kind, *wide).lines]
    assert len(found) == len(expected) > 5
    for row in found:
        label = expected[row["document"]]
        assert {name: row[name] for name in label.keys() - {"fault", "taken_from"}}.items() <= label.items()
