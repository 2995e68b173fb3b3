"""`tieout balance`: the integration account part by part, and what each part consists of."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.reconciliation.account import PARTS
from tests.support.commandline import Tieout

pytestmark = pytest.mark.requirement("R37")


CASES = Path(__file__).parents[1] / "cases"


def balance(tieout: Tieout, *options: str, company: str = "USPM") -> dict[str, Any]:
    told = tieout("balance", "--company", company, *options, "--json")
    assert told.code == 0, told.err
    return dict(json.loads(told.out))


def test_the_parts_of_each_account_add_up_and_each_is_the_sum_of_its_rows(demonstrated: Tieout) -> None:
    shown = balance(demonstrated)
    assert list(shown["accounts"]) == ["expense", "vendor_invoice", "together"]
    for name, account in shown["accounts"].items():
        assert [part["part"] for part in account["parts"]] == list(PARTS)
        summed = [Decimal(part["amount"]) for part in account["parts"] if part["part"] != "project-unknown"]
        assert sum(summed) == Decimal(account["explained"])
        chosen = {"together": "both"}.get(name, name.replace("_", "-"))
        for part in account["parts"]:
            lines = demonstrated("balance", "--company", "USPM", "--part", part["part"], "--account", chosen, "--json")
            rows = [json.loads(line) for line in lines.out.splitlines()]
            amount = sum(Decimal(row["accounting_amount"]) for row in rows if row["accounting_amount"] is not None)
            assert (len(rows), amount) == (part["count"], Decimal(part["amount"])), part["part"]


def test_a_balance_of_the_ledger_is_compared_and_not_kept_unless_asked(
    tieout: Tieout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_COMPANIES", "ARDO")
    for name in ("00-company", "21-outside-the-window"):
        assert tieout("ingest", str(CASES / f"{name}.jsonl")).code == 0
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0
    compared = balance(tieout, "--ledger", "40.00", "--account", "both", company="ARDO")["accounts"]["together"]
    assert (compared["explained"], compared["unexplained"]) == ("36.00", "4.00")
    assert balance(tieout, company="ARDO")["accounts"]["together"]["ledger"] is None
    balance(tieout, "--ledger", "40.00", "--account", "both", "--keep", company="ARDO")
    kept = balance(tieout, company="ARDO")["accounts"]
    assert (kept["together"]["ledger"], kept["together"]["unexplained"]) == ("40.00", "4.00")
    assert kept["expense"]["ledger"] is None


def test_the_window_moves_documents_between_parts_and_not_the_explained_balance(demonstrated: Tieout) -> None:
    whole, narrow = balance(demonstrated), balance(demonstrated, "--from", "2025-01-08", "--to", "2025-01-08")
    assert whole["accounts"]["together"]["explained"] == narrow["accounts"]["together"]["explained"]
    parts = {part["part"]: part["count"] for part in narrow["accounts"]["together"]["parts"]}
    assert parts["before-window"] > 0


def test_people_see_a_table_with_what_is_explained(demonstrated: Tieout) -> None:
    told = demonstrated("balance", "--company", "USPM").out
    assert "Explained balance" in told
    assert "Missing actuals" in told
    listed = demonstrated("balance", "--company", "USPM", "--part", "missing-actual").out
    assert "USPM/" in listed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--ledger", "ten"), "'ten' is not an amount"),
        (("--part", "rest"), "'rest' is no part of the account. The parts are missing-actual"),
        (("--keep",), "--keep needs a balance: add --ledger AMOUNT"),
        (("--on", "2024-12-31"), "--on needs a balance: add --ledger AMOUNT"),
        (("--account", "all"), "'all' is not one of"),
    ],
)
def test_a_mistake_is_named_with_what_to_write(demonstrated: Tieout, options: tuple[str, ...], says: str) -> None:
    told = demonstrated("balance", "--company", "USPM", *options)
    assert told.code != 0
    assert says in told.err
