"""The registry of sync actions is the one list that workers, settings and the documentation follow."""

import re
from pathlib import Path
from typing import get_args

import pytest

from engine.reconciliation.explanations import CAUSES
from engine.sync.actions import SYNC_ACTIONS, SYNCED, Action
from engine.sync.attempts import ALWAYS_RETRIED
from handlers.processes import PROCESSES
from tests.support.desks import Desk
from tests.support.journaling import JournalDesk
from tieout.settings import Settings
from tieout.sync.document_sync import DocumentSync, action_handlers

DOCS = Path(__file__).resolve().parents[2] / "docs"


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading of a page."""
    section = (DOCS / page).read_text().partition(f"## {heading}\n")[2]
    rows = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert rows is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[0].splitlines()[2:]]


def test_each_action_has_a_name_a_setting_and_a_process() -> None:
    assert set(SYNC_ACTIONS) == set(get_args(Action)) == set(PROCESSES)
    assert all(f"process_{name}" in Settings.__struct_fields__ for name in SYNC_ACTIONS)


@pytest.mark.requirement("R42")
def test_an_action_resolves_causes_that_exist() -> None:
    assert set(CAUSES) >= SYNCED
    assert {"not-approved", "not-imported", "draft"} <= SYNCED


@pytest.mark.requirement("R44")
def test_general_journals_alone_are_retried_after_every_failure() -> None:
    assert {"journal"} == ALWAYS_RETRIED


def test_each_action_has_a_handler_by_what_it_is_requested_for() -> None:
    desk, journals = Desk(), JournalDesk().journals
    documents = DocumentSync(desk.site.processes, desk.reader, desk.settings)
    handlers = action_handlers(documents, journals)
    assert {name for name, handler in handlers.items() if handler is journals} == {"journal"}
    assert {name for name, handler in handlers.items() if handler is documents} == set(SYNC_ACTIONS) - {"journal"}


def test_the_page_on_connectors_lists_each_action_with_its_system() -> None:
    listed = {row[0].partition(":")[0]: row[1] for row in table("connectors.md", "Processes")}
    assert listed == {name: action.system for name, action in SYNC_ACTIONS.items()}


@pytest.mark.requirement("R42")
def test_the_page_on_sync_lists_each_cause_that_an_action_resolves() -> None:
    listed = {cause for row in table("sync.md", "Actions by cause") for cause in re.findall(r"`([a-z-]+)`", row[0])}
    assert listed == SYNCED


def test_the_page_on_sync_lists_each_action_with_its_precondition_and_success() -> None:
    listed = {row[0].strip("`"): (row[1], row[2]) for row in table("sync.md", "Actions")}
    assert listed == {name: (action.precondition, action.success) for name, action in SYNC_ACTIONS.items()}
