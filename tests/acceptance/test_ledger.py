"""The ledger of the integration accounts, read from the served pair by the commands (R87)."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.errors import SettingError
from engine.reconciliation.ledger_accounts import LedgerAccounts
from store.operational.ledger_balances import KeptBalance, history, keep
from store.queries import ledger
from tests.support.commandline import Tieout, typist
from tests.support.pairs import Served
from tests.support.stores import MAPS
from tieout.bootstrap import open_store
from tieout.settings import Settings, load
from tieout.simulator.pair.ledger import EXPENSE_ACCOUNT, PROCUREMENT_ACCOUNT

pytestmark = pytest.mark.requirement("R87")

ENTRIES = f"finance/GeneralJournalAccountEntry?{EXPENSE_ACCOUNT},{PROCUREMENT_ACCOUNT}"


@pytest.fixture
def tieout(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Tieout:
    settings = {
        **served.settings(),
        "TIEOUT_TODAY": "2025-01-08",
        "TIEOUT_COMPANIES": "USPM",
        "TIEOUT_EXPENSE_ACCOUNT": EXPENSE_ACCOUNT,
        "TIEOUT_PROCUREMENT_ACCOUNT": f"USPM={PROCUREMENT_ACCOUNT}",
    }
    return typist(tmp_path, settings, monkeypatch, capfd)


def balances(accounts: LedgerAccounts) -> list[str]:
    """The balances of USPM in the store of the settings, or why they are not known."""
    with open_store(load(), write=False) as engine, engine.connect() as connection:
        found = ledger.balances(connection, "USPM", accounts, MAPS)
    return [
        str(Decimal(item.amount) / 10_000) if item.amount is not None else str(item.unknown) for item in found.values()
    ]


def held(served: Served) -> list[str]:
    accounts = [served.pair.ledger.balance("USPM", account) for account in (EXPENSE_ACCOUNT, PROCUREMENT_ACCOUNT)]
    return [str((amount + Decimal("0.0000")).normalize() + 0) for amount in (*accounts, sum(accounts, Decimal(0)))]


def check(tieout: Tieout, **settings: str) -> list[dict[str, Any]]:
    """What `tieout check` says about the ledger."""
    (checked,) = tieout("check", "--json", **settings).lines
    return [line for line in checked["checks"] if line["check"] == "ledger"]


def test_the_balance_is_known_once_the_poller_has_read_the_accounts(tieout: Tieout, served: Served) -> None:
    accounts = load().ledger_accounts
    polled = tieout("poll", "--json")
    assert polled.code == 0, polled
    rows = {line["table"]: line["rows"] for line in polled.lines}
    assert 0 < rows[ENTRIES] < len(served.pair.tables["GeneralJournalAccountEntry"].rows)
    assert rows["finance/MainAccount"] == 2
    assert tieout("run", "--until-caught-up").code == 0
    assert balances(accounts) == held(served)
    served.pair.ledger.close_year("USPM", 2024)
    served.pair.ledger.post("USPM", EXPENSE_ACCOUNT, Decimal("12.34"), "GNJ-7", date(2025, 1, 7))
    assert tieout("poll").code == 0
    # What was read is on the topic, and not in the store yet.
    assert balances(accounts) == ["behind"] * 3
    assert tieout("run", "--until-caught-up").code == 0
    assert balances(accounts) == held(served)
    assert tieout("verify").code == 0
    (line,) = check(tieout)
    assert line["ok"], line


def test_a_main_account_that_nobody_knows_is_reported(tieout: Tieout, served: Served) -> None:
    wrong = {"expense_account": f"{EXPENSE_ACCOUNT},USPM=999999"}
    assert tieout("poll", **wrong).code == 0
    assert tieout("run", "--until-caught-up", **wrong).code == 0
    (line,) = check(tieout, **wrong)
    assert not line["ok"]
    assert "no main account 999999" in line["says"]


def test_no_main_account_at_all_is_the_fault_of_the_table_alone(tieout: Tieout) -> None:
    polled = tieout("poll", "--json", expense_account="999999", procurement_account="999998")
    assert polled.code == 1
    faults = {line["table"]: line["fault"] for line in polled.lines if line["fault"]}
    assert list(faults) == ["finance/GeneralJournalAccountEntry?999998,999999"]
    assert "Finance has no main account 999998, 999999" in faults["finance/GeneralJournalAccountEntry?999998,999999"]
    # No absence is claimed of the ledger, so the heartbeat of Finance does not wait for it.
    shown = {line["table"]: line for line in tieout("poll", "--show", "--json").lines}
    assert shown["finance"]["complete_until"]


def test_a_balance_that_a_person_entered_survives_a_replay(tieout: Tieout) -> None:
    assert tieout("poll").code == 0
    assert tieout("run", "--until-caught-up").code == 0
    balance = KeptBalance("USPM", "expense", "2025-01-07", 1, 95_000_000, "USD", "mira")
    with open_store(load(), write=True) as engine:
        keep(engine, balance)
    assert tieout("run", "--until-caught-up").code == 0
    assert tieout("verify").code == 0
    assert tieout("replay", "--yes", expense_account=PROCUREMENT_ACCOUNT).code == 0
    with open_store(load(), write=False) as engine, engine.connect() as connection:
        assert history(connection, "USPM") == [balance]
        assert {item.account for item in ledger.voucher_sums(connection, "USPM")} == {"both"}
    # A new store learns it from the state topic.
    assert tieout("run", "--until-caught-up", store="sqlite:///second.sqlite").code == 0
    with open_store(Settings(store="sqlite:///second.sqlite"), write=False) as engine, engine.connect() as connection:
        assert history(connection, "USPM") == [balance]


def test_a_worker_with_other_accounts_than_those_of_the_store_says_so(tieout: Tieout) -> None:
    assert tieout("run", "--until-caught-up").code == 0
    refused = tieout("run", "--until-caught-up", expense_account="160500")
    assert refused.code != 0
    assert "other ledger accounts (TIEOUT_EXPENSE_ACCOUNT, TIEOUT_PROCUREMENT_ACCOUNT)" in refused.err
    assert "tieout replay" in refused.err


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"expense_account": "ARDO="}, "'ARDO=' is no main account: write NUMBER for every company or COMPANY=NUMBER"),
        ({"procurement_account": "160600, 16 06"}, "TIEOUT_PROCUREMENT_ACCOUNT: '16 06' is no main account"),
        ({"expense_account": "ARDO=1=2"}, "'ARDO=1=2' is no main account"),
        (
            {"expense_account": "ARDO=160500", "companies": "BRIM"},
            "names the company ARDO, which TIEOUT_COMPANIES does not (BRIM)",
        ),
    ],
)
def test_settings_that_name_no_main_account_are_refused(settings: dict[str, str], says: str, tmp_path: Path) -> None:
    environ = {f"TIEOUT_{name.upper()}": value for name, value in settings.items()}
    with pytest.raises(SettingError) as refused:
        load(environ, tmp_path)
    assert says in str(refused.value)


def test_settings_in_a_file_and_in_the_environment_mean_the_same(tmp_path: Path) -> None:
    (tmp_path / "tieout.toml").write_text('expense_account = ["160500", "ardo=160501"]\n', encoding="utf-8")
    environ = {"TIEOUT_EXPENSE_ACCOUNT": "160500, ardo=160501"}
    (tmp_path / "empty").mkdir()
    assert load({}, tmp_path).ledger_accounts == load(environ, tmp_path / "empty").ledger_accounts
    assert json.loads(json.dumps(load({}, tmp_path).shown()))["expense_account"] == "('160500', 'ardo=160501')"
