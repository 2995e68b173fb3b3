"""The Troubleshoot and Operation pages as a person uses them."""

import csv
import io
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.workspace import JOURNAL, Served, settings_in
from tieout.workspace.operation import secrets_hidden


def codes(page: Page) -> list[str]:
    return page.locator(".errors tbody tr:not(.group):not(.none) td:nth-child(2) > b").all_text_contents()


@pytest.mark.requirement("R52", "R53", "R54")
def test_the_landing_page_has_the_current_errors_newest_first(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM")
    page.get_by_role("link", name="Troubleshoot").click()
    expect(page.get_by_role("link", name="Most recent errors")).to_have_attribute("aria-current", "page")
    assert codes(page) == ["GJ_HEADER", "BILLED_MISMATCH", "NO_OPEN_PERIOD", "LINE_FAILED"]
    page.get_by_label("Show").select_option("all")
    page.wait_for_url("**show=all**")
    assert codes(page)[-1] == "UNKNOWN"
    expect(page.locator(".errors tbody tr").last).to_contain_text("history")


@pytest.mark.requirement("R52")
def test_errors_are_filtered_sorted_and_grouped(page: Page, served: Served) -> None:
    address = f"{served.address}/USPM/errors"
    page.goto(address)
    page.fill("#from", "2025-01-06")
    page.fill("#to", "2025-01-07")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**from=2025-01-06**")
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
    for grouping, groups in (("process", 3), ("message", 4), ("journal", 4), ("project", 1), ("company", 1)):
        page.goto(address)
        page.get_by_label("Group by").select_option(grouping)
        page.wait_for_url(f"**group={grouping}**")
        assert page.locator(".errors tr.group").count() == groups, grouping
    page.goto(f"{address}?f.message=nothing")
    expect(page.locator(".errors")).to_contain_text("No error meets these filters.")


@pytest.mark.requirement("R51", "R53")
def test_an_error_says_what_to_do_and_leads_to_the_history_of_its_subject(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/errors")
    row = page.locator(".errors tbody tr", has_text="NO_OPEN_PERIOD")
    row.get_by_text("What to do").click()
    expect(row).to_contain_text("Open the period")
    assert row.locator("td").nth(6).text_content() == "2"
    row.get_by_role("link", name=JOURNAL).click()
    expect(page.get_by_role("heading", name=JOURNAL)).to_be_visible()
    expect(page.locator("main")).to_contain_text(
        "2 errors, first seen 1/4/2025 8:01:00 PM, last seen 1/6/2025 8:01:00 PM"
    )
    said = [row.locator("td").nth(1).text_content() for row in page.locator("tbody tr").all()]
    period = "No open fiscal period was found for the specified accounting date 12/18/2024."
    assert said == ["Run failed", period, "Run started"] * 2
    page.get_by_role("link", name="report-5").click()
    expect(page.locator("#raw")).to_contain_text("No open fiscal period")


@pytest.mark.requirement("R50")
def test_the_file_of_errors_has_complete_texts(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/errors")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))
    assert [row["Code"] for row in rows] == ["GJ_HEADER", "BILLED_MISMATCH", "NO_OPEN_PERIOD", "LINE_FAILED"]
    assert rows[3]["Message"].endswith("Debit 650.00, credit 0.00).")


def test_lists_of_later_versions_have_their_places(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/errors")
    page.get_by_role("link", name="General journal Dataverse sync").click()
    page.get_by_role("link", name="errors of the general journal sync").click()
    assert codes(page) == ["GJ_HEADER"]
    page.get_by_role("link", name="Invoice proposals").click()
    page.get_by_role("link", name="errors of invoice proposals").click()
    expect(page.locator(".errors")).to_contain_text("No error meets these filters.")


@pytest.mark.requirement("R7", "R82")
def test_operation_shows_lag_feeds_settings_and_rejected_events_to_their_bytes(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM")
    page.get_by_role("link", name="Operation").click()
    tiles = page.locator(".tiles")
    expect(tiles).to_contain_text("Lag 0 events not applied yet", use_inner_text=True)
    expect(tiles).to_contain_text("Silent feeds 0 of 2 feeds with heartbeats", use_inner_text=True)
    expect(tiles).to_contain_text("Oldest unreconciled 356 days", use_inner_text=True)
    topic = page.locator("tr", has_text="tieout.finance.changes")
    assert topic.locator("td").nth(2).text_content() == topic.locator("td").nth(3).text_content()
    expect(page.locator("main")).to_contain_text("TIEOUT_TODAY")
    page.get_by_role("link", name="Rejected events").click()
    expect(page.locator("main")).to_contain_text("1 event could not be understood")
    page.locator("tbody a").click()
    expect(page.locator("#raw")).to_have_text('{"not": "an event"}')


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
