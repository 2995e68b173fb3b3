"""The Troubleshoot and Operation pages as a person uses them."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import insert, update

from store.schema import tables
from tests.browser.reading import settled
from tests.support.workspace import (
    JOURNAL,
    Served,
    demonstrated,
    lines,
    project,
    reported,
    settings_in,
    small_company,
)
from tests.support.workspace import served as served_at
from tieout.access.identities import local_name
from tieout.bootstrap import open_store
from tieout.maintenance.health_checks import check
from tieout.workspace.pages.operation import secrets_hidden

CURRENT = ["GJ_LINE_CREATE", "GJ_LINE_CREATE", "BILLED_MISMATCH", "NO_OPEN_PERIOD", "LINE_FAILED", "LINE_FAILED"]


def codes(page: Page) -> list[str]:
    return settled(page).locator(".errors tbody tr:not(.group):not(.none) td:nth-child(2) > b").all_text_contents()


@pytest.mark.requirement("R52", "R53", "R54")
def test_the_landing_page_has_the_current_errors_newest_first(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM")
    page.get_by_role("link", name="Most recent errors").click()
    expect(page.get_by_role("link", name="Most recent errors")).to_have_attribute("aria-current", "page")
    assert codes(page) == CURRENT
    page.get_by_label("Show").select_option("all")
    page.wait_for_url("**show=all**")
    assert "UNKNOWN" in codes(page)
    expect(page.locator(".errors tbody tr", has_text="UNKNOWN")).to_contain_text("History")


@pytest.mark.requirement("R52")
def test_errors_are_filtered_sorted_and_grouped(page: Page, served: Served) -> None:
    address = f"{served.address}/USPM/errors"
    page.goto(address)
    page.fill("#from", "2024-12-13")
    page.fill("#to", "2025-01-07")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**from=2024-12-13**")
    assert codes(page) == ["NO_OPEN_PERIOD", "LINE_FAILED"]
    page.get_by_role("link", name="Clear").click()
    page.wait_for_url(address)
    page.get_by_label("Filter Message").fill("period")
    page.get_by_label("Filter Message").press("Enter")
    page.wait_for_url("**f.message=period**")
    assert codes(page) == ["NO_OPEN_PERIOD"]
    page.goto(address)
    page.get_by_label("Filter Process").select_option("Import from staging")
    page.wait_for_url("**f.process=**")
    assert codes(page) == ["BILLED_MISMATCH"]
    page.goto(address)
    page.get_by_role("columnheader", name="Message").get_by_role("link").click()
    page.wait_for_url("**sort=message**")
    assert codes(page) == sorted(codes(page))
    for grouping, groups in (("process", 3), ("message", 4), ("journal", 6), ("project", 3), ("company", 1)):
        page.goto(address)
        page.get_by_label("Group by").select_option(grouping)
        page.wait_for_url(f"**group={grouping}**")
        assert settled(page).locator(".errors tr.group").count() == groups, grouping
    page.goto(f"{address}?f.message=nothing")
    expect(page.locator(".errors")).to_contain_text("No errors match your filters.")


@pytest.mark.requirement("R52")
def test_the_hundred_most_recent_errors_are_shown_and_older_ones_by_date(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    many = [
        reported(number, f"2025-01-0{1 + number // 40}T02:00:00Z", "integration-journal-posting", f"J-{number}", "No.")
        for number in range(160)
    ]
    project(settings, [*small_company(), *lines(many)])
    with served_at(settings) as found:
        newest = httpx.get(f"{found.address}/USPM/errors").text
        assert newest.count('class="long full"') == 100
        assert "Set the dates to show older errors." in newest
        assert "J-159" in newest
        assert "J-5<" not in newest
        older = httpx.get(f"{found.address}/USPM/errors?to=2025-01-01").text
        assert "J-5<" in older
        assert "J-159" not in older


@pytest.mark.requirement("R51", "R53")
def test_an_error_says_what_to_do_and_leads_to_the_history_of_its_subject(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/errors")
    row = page.locator(".errors tbody tr", has_text="NO_OPEN_PERIOD")
    row.get_by_text("Recommended action").click()
    expect(row).to_contain_text("Open the period")
    assert row.locator("td").nth(6).text_content() == "2"
    row.get_by_role("link", name=JOURNAL).click()
    expect(page.get_by_role("heading", name=JOURNAL)).to_be_visible()
    expect(page.locator("main")).to_contain_text(
        "2 errors, first seen 1/6/2025 10:05:30 AM, last seen 1/7/2025 9:20:30 AM"
    )
    said = [row.locator("td").nth(1).text_content() for row in settled(page).locator("tbody tr").all()]
    period = "No open fiscal period was found for the specified accounting date 2/12/2024."
    assert said == ["Run failed", period, "Run started"] * 2
    page.locator("tbody tr", has_text="No open fiscal period").last.locator("td a").click()
    expect(page.locator("#raw")).to_contain_text("No open fiscal period")


@pytest.mark.requirement("R50")
def test_the_file_of_errors_has_complete_texts(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/errors")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))
    assert [row["Code"] for row in rows] == CURRENT
    assert rows[4]["Message"].endswith("Debit 650.00, credit 0.00).")
    # Independent of the reader's language, like every file.
    assert [row["Date and time"] for row in rows][:2] == ["2025-01-08T17:25:00Z", "2025-01-08T17:20:00Z"]
    assert rows[3]["First seen"] == "2025-01-06T16:05:30Z"


@pytest.mark.parametrize("section", ["errors", "general-journals", "invoice-proposals"])
def test_another_company_is_shown_on_the_same_page(page: Page, served: Served, section: str) -> None:
    page.goto(f"{served.address}/GBPM/{section}")
    page.get_by_label("Company").select_option("USPM")
    page.wait_for_url(f"**/USPM/{section}")


@pytest.mark.parametrize("section", ["expense", "balance", "not-synced"])
def test_another_company_is_shown_on_the_same_page_of_the_same_days(page: Page, served: Served, section: str) -> None:
    page.goto(f"{served.address}/GBPM/{section}?from=2024-03-01&to=2025-01-08")
    page.get_by_label("Company", exact=True).select_option("USPM")
    page.wait_for_url(f"**/USPM/{section}?from=2024-03-01&to=2025-01-08")


def test_no_company_leads_to_the_first_page_and_nowhere_else(served: Served) -> None:
    for query in ("company=&section=errors", "section=errors", "company=//evil.example&section=expense"):
        answer = httpx.get(f"{served.address}/company?{query}")
        assert answer.status_code == 303
        assert answer.headers["location"] in ("/", "/%2F%2Fevil.example/expense")


@pytest.mark.requirement("R56")
def test_a_proposal_that_waits_names_the_dates_and_amounts_to_post(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/errors")
    page.get_by_role("link", name="Invoice proposals").click()
    row = settled(page).get_by_role("row", name="PI-000214")
    expect(row).to_contain_text(
        "Not posted yet: 12/30/2024 660.00 USD (not imported); 1/3/2025 1,440.00 USD (not imported); 1/6/2025 9,600.00 "
        "USD (not imported)."
    )
    row.get_by_text("Recommended action").click()
    expect(row).to_contain_text("then run Import from staging again")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    (told,) = csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig")))
    assert (told["Proposal"], told["Amount"]) == ("PI-000214", "0.00")
    assert "2024-12-30 660.00 USD" in told["Error message"]
    row.get_by_role("link", name="USPM/USPM-PT000380").click()
    expect(page.get_by_role("heading", name="USPM/USPM-PT000380")).to_be_visible()


@pytest.mark.requirement("R56")
def test_where_no_proposal_waits_the_page_says_so(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/GBPM/invoice-proposals")
    expect(page.locator("main")).to_contain_text("No invoice proposals of GBPM are waiting")
    page.get_by_role("link", name="errors of invoice proposals").click()
    expect(page.locator(".errors")).to_contain_text("No errors match your filters.")


@pytest.mark.requirement("R7", "R82")
def test_operation_shows_lag_feeds_settings_and_rejected_events_to_their_bytes(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM")
    page.get_by_role("link", name="Operation").click()
    tiles = page.locator("#overview")
    expect(tiles).to_contain_text("Lag 0 events not yet applied", use_inner_text=True)
    expect(tiles).to_contain_text("Silent feeds 0 of 2 feeds with heartbeats", use_inner_text=True)
    expect(tiles).to_contain_text("Oldest unreconciled 356 days", use_inner_text=True)
    topic = page.locator("tr", has_text="tieout.finance.changes")
    assert topic.locator("td").nth(2).text_content() == topic.locator("td").nth(3).text_content()
    expect(page.locator("main")).to_contain_text("TIEOUT_TODAY")
    tiles.get_by_role("link", name="Rejected events").click()
    expect(page.locator("main")).to_contain_text("1 event rejected")
    page.locator("tbody a").click()
    expect(page.locator("#raw")).to_contain_text("CustTable")


@pytest.mark.requirement("R72", "R82")
def test_everything_is_checked_when_somebody_asks_and_what_is_wrong_says_what_to_do(page: Page, own: Served) -> None:
    page.goto(f"{own.address}/operation")
    page.get_by_role("link", name="Run all checks").click()
    expect(page.get_by_role("status")).to_have_text("All checks passed.")
    found = settled(page).locator("tbody tr td:nth-child(2)").all_text_contents()
    assert (set(found), len(found)) == ({"Passed"}, len(list(check(own.settings))))
    with open_store(own.settings, write=True) as engine, engine.begin() as connection:
        connection.execute(update(tables.documents).values(missing_actual=tables.documents.c.missing_actual + 1))
    page.get_by_role("link", name="Run again").click()
    expect(page.get_by_role("status")).to_have_text("1 check failed. See the details for the recommended action.")
    expect(page.get_by_role("row", name="Tiles")).to_contain_text("the store may have been changed by hand")


@pytest.mark.requirement("R5", "R82")
def test_operation_names_the_tables_whose_rows_were_not_read_yet(page: Page, own: Served) -> None:
    page.goto(f"{own.address}/operation")
    expect(page.get_by_role("heading", name="Rows pending re-read")).to_have_count(0)
    noticed = 1_736_330_400_000_000
    waits = ("row", "dataverse", "msdyn_actual", 1, noticed, noticed - 1)
    with open_store(own.settings, write=True) as engine, engine.begin() as connection:
        connection.execute(insert(tables.notices).values(waits))
    page.reload()
    section = page.get_by_role("region", name="Rows pending re-read")
    expect(section.get_by_role("row", name="msdyn_actual")).to_contain_text(
        "msdyn_actual 1 1/8/2025", use_inner_text=True
    )
    expect(section).to_contain_text("tieout poll")


@pytest.mark.requirement("R82")
def test_settings_in_force_are_shown_without_secrets(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    secret = type(settings)(
        broker="kafka://me:first-secret@broker:9092",
        store="postgresql+psycopg://me:second-secret@host/db",
        broker_password="third-secret",
    )
    told = dict(secrets_hidden(secret))
    assert "secret" not in str(told)
    assert told["TIEOUT_BROKER"] == "kafka://…@broker:9092"
    assert told["TIEOUT_STORE"].endswith("@host/db")


# --- deleting --------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Served]:
    """A workspace whose errors may be deleted."""
    with demonstrated(tmp_path) as found:
        yield found


@pytest.mark.requirement("R55")
def test_an_error_is_deleted_with_a_reason_and_stays_in_the_history(page: Page, own: Served) -> None:
    page.goto(f"{own.address}/USPM/errors")
    page.locator(".errors tbody tr", has_text="NO_OPEN_PERIOD").get_by_role("link", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete 1 error?")).to_be_visible()
    expect(page.locator("main")).to_contain_text("An error that occurs again returns to the current list.")
    page.get_by_label("Reason").fill(" ")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter a reason.")
    page.get_by_label("Reason").fill("period opened")
    page.get_by_label("Reason").press("Enter")
    page.wait_for_url(f"{own.address}/USPM/errors")
    assert codes(page) == [code for code in CURRENT if code != "NO_OPEN_PERIOD"]
    page.get_by_label("Show").select_option("all")
    page.wait_for_url("**show=all**")
    expect(page.locator(".errors tbody tr", has_text=f"by {local_name()}: period opened")).to_have_count(2)


@pytest.mark.requirement("R55")
def test_all_errors_that_meet_the_filters_are_deleted_after_a_look_at_them(page: Page, own: Served) -> None:
    page.goto(f"{own.address}/USPM/errors?f.process=posting")
    page.get_by_role("link", name="Delete filtered").click()
    assert codes(page) == ["NO_OPEN_PERIOD", "LINE_FAILED", "LINE_FAILED"]
    page.get_by_label("Reason").fill("mended")
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/USPM/errors?f.process=posting**")
    assert codes(page) == []
    page.goto(f"{own.address}/USPM/errors")
    page.get_by_role("link", name="Delete all").click()
    assert codes(page) == ["GJ_LINE_CREATE", "GJ_LINE_CREATE", "BILLED_MISMATCH"]
    page.get_by_role("link", name="Cancel").click()
    assert codes(page) == ["GJ_LINE_CREATE", "GJ_LINE_CREATE", "BILLED_MISMATCH"]


@pytest.mark.requirement("R55")
def test_an_error_that_came_after_the_page_was_made_is_not_deleted_with_those_it_showed(
    page: Page, own: Served
) -> None:
    page.goto(f"{own.address}/USPM/errors/delete?f.process=posting")
    again = reported(20, "2025-01-08T09:00:00Z", "integration-journal-posting", JOURNAL, "It fails again.", run="run-9")
    project(own.settings, lines([again]))
    page.get_by_label("Reason").fill("mended")
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/USPM/errors?f.process=posting**")
    assert codes(page) == ["UNKNOWN"]


@pytest.mark.requirement("R55")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "{address}"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 400),
        ({"Origin": "{address}"}, 400),
    ],
)
def test_a_form_of_another_site_changes_nothing(served: Served, headers: dict[str, str], status: int) -> None:
    told = {name: value.format(address=served.address) for name, value in headers.items()}
    answer = httpx.post(f"{served.address}/USPM/errors/delete", data={"seen": "x@1"}, headers=told)
    assert answer.status_code == status
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.requirement("R55")
def test_a_form_that_asks_for_too_much_or_for_nothing_is_refused(served: Served) -> None:
    address, own = f"{served.address}/USPM/errors/delete", {"Origin": served.address}
    assert httpx.post(address, data={"why": "x" * 2_000_000}, headers=own).status_code == 413
    assert httpx.post(address, data={"why": "x\x00", "who": "y", "seen": "0@1"}, headers=own).status_code == 400
    gone = httpx.post(address, data={"why": "x", "who": "y", "seen": ["0@1", "z"]}, headers=own)
    assert (gone.status_code, "none of these errors is current" in gone.text) == (404, True)
