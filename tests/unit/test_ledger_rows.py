"""Which rows of the ledger the poller asks Finance for (R9, R87)."""

import tomllib

import pytest

from engine.mapping.compiler import Maps
from handlers.errors import Configuration
from handlers.ledger_rows import entries_where, main_accounts_where
from tests.support.pairs import Site
from tests.support.stores import MAPS
from tieout.maintenance.map_files import load_maps
from tieout.settings import Settings
from tieout.simulator.pair.ledger import EXPENSE_ACCOUNT, PROCUREMENT_ACCOUNT
from tieout.sync.connectors import completely_polled, polled_tables

pytestmark = pytest.mark.requirement("R9", "R87")

SITE = Site()


def where(maps: Maps, *numbers: str) -> str:
    entry, main_account = maps.entities["GeneralJournalAccountEntry"], maps.entities["MainAccount"]
    return entries_where(entry, main_account, numbers)(SITE.finance)


def overlaid(tmp_path_factory: pytest.TempPathFactory, written: str) -> Maps:
    file = tmp_path_factory.mktemp("maps") / "own.toml"
    file.write_text(f'schema = 1\nversion = "1"\nsource = "finance"\n{written}', encoding="utf-8")
    assert tomllib.loads(file.read_text(encoding="utf-8"))
    return load_maps(Settings(maps=(str(file),)))


def test_entries_are_asked_for_by_the_ids_of_their_main_accounts() -> None:
    records = {row.text("MainAccountId"): row.id for row in SITE.rows("MainAccount")}
    named = [records[EXPENSE_ACCOUNT], records[PROCUREMENT_ACCOUNT]]
    expected = " or ".join(f"MainAccount eq {record}" for record in sorted(named))
    assert where(MAPS, PROCUREMENT_ACCOUNT, EXPENSE_ACCOUNT, "999999") == expected
    with pytest.raises(Configuration, match="Finance has no main account 999999"):
        where(MAPS, "999999")


def test_an_entity_without_the_id_is_asked_by_number_or_by_display_value(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    table = "[entities.GeneralJournalAccountEntry]\ncolumns.account = []\n"
    assert where(overlaid(tmp_path_factory, table), "605180") == "MainAccountId eq '605180'"
    table += "columns.number = []\n"
    assert where(overlaid(tmp_path_factory, table), "605190", "605180") == (
        "LedgerAccount eq '605180*' or LedgerAccount eq '605190*'"
    )


def test_a_quote_in_a_number_stays_in_its_text() -> None:
    assert main_accounts_where(MAPS.entities["MainAccount"], ["1' or 1 eq 1"]) == "MainAccountId eq '1'' or 1 eq 1'"


def test_the_ledger_is_polled_if_accounts_are_named_and_completes_no_system() -> None:
    ledger = {"GeneralJournalAccountEntry", "GeneralJournalEntry", "MainAccount"}
    settings = Settings(expense_account=("605180",))
    without, with_ledger = polled_tables(settings, MAPS), polled_tables(settings, MAPS, settings.ledger_accounts)
    assert {table.entity for table in with_ledger} - {table.entity for table in without} == ledger
    assert {table.entity for table in with_ledger if not table.claimed} == ledger
    assert completely_polled(without, MAPS) == completely_polled(with_ledger, MAPS) == ["finance", "dataverse"]
    (entries,) = [table for table in with_ledger if table.selection]
    assert entries.name == "finance/GeneralJournalAccountEntry?605180"
