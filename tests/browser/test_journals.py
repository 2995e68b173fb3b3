"""The tab General journal Dataverse sync as a person uses it."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from store.operational.attempts import SqlAttempts
from store.schema.database import connect
from tests.browser.reading import settled
from tests.browser.test_every_page import violations
from tests.support.workspace import Served, demonstrated
from tieout.access.identities import local_name


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Served]:
    """A workspace of one's own, whose worker has attempted two journals."""
    with demonstrated(tmp_path) as found:
        yield found


@pytest.mark.requirement("R61", "R62")
def test_journals_that_are_not_through_say_count_step_error_and_how_a_new_round_begins(
    page: Page, tried: Served
) -> None:
    page.goto(f"{tried.address}/USPM/errors")
    page.get_by_role("link", name="General journals").click()
    rows = settled(page).locator(".journals tbody tr")
    told = [[cell.strip() for cell in row.locator("th, td").all_inner_texts()] for row in rows.all()]
    assert [row[:3] for row in told] == [
        ["USPM-000101", "USPM", "1/6/2025"],
        ["USPM-000102", "USPM", "1/7/2025"],
    ]
    assert [row[3].split("\n")[0] for row in told] == ["Needs attention", "Queued"]
    assert [row[4:6] for row in told] == [["Lines", "5 of 5"], ["Lines", "1 of 5"]]
    waits = rows.first
    expect(waits).to_contain_text("GJ_LINE_CREATE")
    expect(waits).to_contain_text("The project 'P-001004-D' of the line is not in Dataverse")
    expect(waits.get_by_role("link", name="Retry USPM-000101")).to_be_visible()
    waits.get_by_text("Recommended action").click()
    expect(waits).to_contain_text("Deleting this entry retries as well")
    expect(page.locator(".head .hint")).to_contain_text("so does deleting its error log entry")
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, {"runOnly": ["color-contrast"]}) == []
    for width in (1440, 1024, 768, 390):
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, width
    waits.get_by_role("link", name="USPM-000101", exact=True).click()
    expect(page.get_by_role("heading", name="USPM-000101")).to_be_visible()


@pytest.mark.requirement("R82")
def test_the_operation_page_counts_attempts_and_lists_what_waits_for_a_person(page: Page, tried: Served) -> None:
    page.goto(f"{tried.address}/operation?company=USPM")
    attempts = page.get_by_role("region", name="Sync attempts")
    expect(attempts).to_contain_text("Queued\n1", use_inner_text=True)
    expect(attempts).to_contain_text("Needs attention\n1", use_inner_text=True)
    row = page.get_by_role("region", name="Needs attention").get_by_role("row", name="USPM/USPM-000101")
    expect(row).to_contain_text("5 of 5")
    expect(row).to_contain_text("The project 'P-001004-D' of the line is not in Dataverse")
    expect(row.get_by_role("link", name="Retry USPM/USPM-000101")).to_be_visible()
    assert violations(page) == []
    row.get_by_role("link", name="USPM/USPM-000101", exact=True).click()
    page.wait_for_url("**/USPM/general-journals")


@pytest.mark.requirement("R62")
def test_deleting_the_entry_says_that_it_begins_a_new_round_and_does(page: Page, tried: Served) -> None:
    page.goto(f"{tried.address}/USPM/general-journals")
    page.locator(".journals tbody tr").first.get_by_role("link", name="Delete log entry").click()
    expect(page.get_by_role("heading", name="Delete 1 error?")).to_be_visible()
    expect(page.locator("main")).to_contain_text(
        "Deleting also retries the sync of 1 general journal: USPM/USPM-000101"
    )
    page.get_by_label("Reason").fill("the project is there now")
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url(f"{tried.address}/USPM/errors")
    page.goto(f"{tried.address}/USPM/general-journals")
    first = settled(page).locator(".journals tbody tr").first
    assert first.locator("td").nth(4).inner_text() == "0 of 5"
    engine = connect(tried.settings.store, write=False)
    (sync,) = SqlAttempts(engine).syncs(["USPM/USPM-000101"])
    engine.dispose()
    assert (sync.by, sync.attempts.round, sync.attempts.state) == (local_name(), 2, "waiting")


@pytest.mark.requirement("R61")
def test_the_list_is_a_file_too(page: Page, tried: Served) -> None:
    page.goto(f"{tried.address}/USPM/general-journals")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))
    assert [(row["Journal"], row["Count"], row["Code"]) for row in rows] == [
        ("USPM-000101", "5", "GJ_LINE_CREATE"),
        ("USPM-000102", "1", "GJ_LINE_CREATE"),
    ]
    assert rows[0]["Reason"].startswith("The project")
    assert rows[1]["Last attempt"] == "2025-01-08T17:25:00Z"


def test_where_no_journal_waits_the_page_says_so(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/GBPM/general-journals")
    expect(page.locator("main")).to_contain_text("No general journals of GBPM are waiting for Dataverse")
    page.get_by_role("link", name="error history of the general journal sync").click()
    expect(page.locator(".errors")).to_contain_text("No errors match your filters.")
