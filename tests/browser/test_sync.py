"""Sync from the pages, as an accountant and an operator use it: preview, confirmation, progress, result."""

import csv
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import text

from engine.sync.attempts import SECOND
from store.operational.attempts import SqlAttempts
from store.schema.database import connect
from tests.browser.reading import settled
from tests.browser.test_every_page import violations
from tests.support.containers import until
from tests.support.live import Live, environment, live
from tests.support.workspace import try_journals

ACTIONS = ("exportDocument", "ApproveExpense", "ConfirmVendorInvoice", "SendActual", "importFromStaging")
FINISHED = re.compile(r"Finished: .*")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path) as found:
        yield found


def tile(page: Page, site: Live, name: str) -> str:
    page.goto(f"{site.address}/USPM")
    return settled(page).locator(".tile", has_text=name).locator(".figure").inner_text()


def result(page: Page) -> Locator:
    """Return the result line of a run once it is finished."""
    line = page.locator("#run").get_by_text(FINISHED)
    expect(line).to_be_visible(timeout=60_000)
    return line


def start(page: Page) -> None:
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile("/sync/[0-9a-f-]{36}"))


@pytest.mark.requirement("R40", "R42", "R47")
def test_what_a_grid_shows_is_previewed_confirmed_and_synced_and_the_tile_falls(page: Page, site: Live) -> None:
    assert tile(page, site, "Expense missing actuals") == "4,000.00 USD"
    page.goto(f"{site.address}/USPM/expense")
    settled(page).get_by_role("link", name="Sync…").click()
    shown = page.locator("#preview")
    expect(shown).to_contain_text("Expense · Missing actuals")
    expect(shown).to_contain_text("30 documents 3,000.00 USD")
    expect(shown).to_contain_text("16 to Finance, 14 to Dataverse")
    expect(shown).to_contain_text("10 documents 1,000.00 USD")
    expect(shown).to_contain_text("Find out why it was reversed in Dataverse")
    expect(shown).to_contain_text("Ask its owner to correct and resubmit it")
    assert site.called(*ACTIONS) == []
    assert violations(page) == []
    start(page)
    expect(result(page)).to_have_text("Finished: 30 succeeded.")
    assert violations(page) == []
    assert len(site.called(*ACTIONS)) == 30
    rows = page.get_by_role("region", name="By document").locator("tbody tr")
    expect(rows).to_have_count(30)
    expect(rows.first).to_contain_text("1 of 5")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    told = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))
    assert {row["Status"] for row in told} == {"Succeeded"}
    assert len(told) == 30
    until(lambda: tile(page, site, "Expense missing actuals") == "1,000.00 USD", 30)
    page.goto(f"{site.address}/USPM/expense?view=all&f.attempts=1")
    expect(settled(page).locator("#totals tbody td").first).to_have_text("30")


@pytest.mark.requirement("R40")
def test_a_filtered_grid_syncs_the_rows_that_it_shows_and_no_other(page: Page, site: Live) -> None:
    page.goto(f"{site.address}/USPM/expense?f.standing=actual-not-synced-back")
    settled(page).get_by_role("link", name="Sync…").click()
    expect(page.locator("#preview")).to_contain_text("Status: Actual not synced to Finance")
    expect(page.get_by_role("button", name="Start 2 calls")).to_be_visible()
    everything = page.get_by_role("link", name="Sync all documents of these dates instead")
    start(page)
    expect(result(page)).to_have_text("Finished: 2 succeeded.")
    assert len(site.called(*ACTIONS)) == 2
    page.go_back()
    everything.click()
    expect(page.locator("#preview")).to_contain_text("All documents")
    page.goto(f"{site.address}/USPM/expense?view=reconciled")
    expect(settled(page).get_by_role("link", name="Sync…")).to_have_count(0)


@pytest.mark.requirement("R40", "R43", "R47")
def test_one_document_is_synced_from_its_drawer_and_tells_of_its_attempts(page: Page, site: Live) -> None:
    site.pair.faults.next("unavailable", "SendActual", times=3)
    page.goto(f"{site.address}/USPM/expense?open=USPM/USPM-PT000487")
    settled(page).locator("#drawer").get_by_role("link", name="Sync…").click()
    expect(page.locator("#preview")).to_contain_text("Document USPM/USPM-PT000487")
    start(page)
    row = page.get_by_role("region", name="By document").locator("tbody tr").first
    expect(row).to_contain_text(re.compile("Retrying.*next attempt.*transient: "), timeout=30_000)
    expect(result(page)).to_have_text("Finished: 1 succeeded.")
    page.get_by_role("link", name="USPM/USPM-PT000487").click()
    attempts = page.locator(".diagnosis")
    expect(attempts).to_contain_text("4 of 5, Done")
    attempts.get_by_text("4 attempts").click()
    expect(attempts.locator("tbody tr")).to_have_count(4)
    assert violations(page) == []


@pytest.mark.requirement("R61", "R62")
def test_a_journal_at_five_of_five_needs_attention_and_is_retried(page: Page, tmp_path: Path) -> None:
    with live(tmp_path, journals_every=0, before=try_journals) as site:
        journal = f"{site.address}/USPM/general-journals"
        page.goto(f"{site.address}/USPM/sync/preview?journal=USPM-000099")
        expect(page.locator("main")).to_contain_text("there is no unconfirmed general journal", ignore_case=True)
        page.goto(journal)
        row = settled(page).locator(".journals tbody tr").first
        expect(row).to_contain_text("Needs attention")
        expect(row).to_contain_text("5 of 5")
        row.get_by_role("link", name="Retry USPM-000095").click()
        expect(page.locator("#preview")).to_contain_text("Starts a new cycle of 5 attempts for the journal")
        expect(page.locator("#preview")).to_contain_text("deleting the error log entry does the same")
        assert violations(page) == []
        start(page)
        expect(result(page)).to_have_text("Finished: 1 succeeded.")
        page.goto(journal)
        expect(settled(page).locator(".journals tbody tr").filter(has_text="USPM-000095")).to_have_count(0)


@pytest.mark.requirement("R40", "R47")
def test_all_of_it_works_without_script(browser: Browser, site: Live) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-US")
    page = context.new_page()
    page.goto(f"{site.address}/USPM/expense?f.standing=actual-not-synced-back")
    page.get_by_role("link", name="Sync…").click()
    start(page)
    expect(result(page)).to_have_text("Finished: 2 succeeded.")
    context.close()


@pytest.mark.requirement("R40")
def test_all_of_it_works_by_keyboard(page: Page, site: Live) -> None:
    page.goto(f"{site.address}/USPM/expense?f.standing=actual-not-synced-back")
    settled(page)
    for name in ("Sync…", "Start 2 calls"):
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count() and focused.inner_text() == name:
                break
        expect(page.locator(":focus")).to_have_text(name)
        page.keyboard.press("Enter")
        page.wait_for_load_state()
        page.wait_for_url(re.compile("/sync/"))
    expect(result(page)).to_have_text("Finished: 2 succeeded.")


@pytest.mark.requirement("R48", "R49")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"outgoing": False}, "TIEOUT_OUTGOING=true"),
        ({"finance": None}, "TIEOUT_FINANCE and TIEOUT_DATAVERSE"),
        ({"confirmed": ()}, "TIEOUT_CONFIRMED"),
    ],
    ids=["outgoing calls off", "not connected", "a prerequisite is not known"],
)
def test_what_stands_in_the_way_is_named_and_nothing_can_be_started(
    page: Page, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with live(tmp_path, handles=False, **changes) as site:
        page.goto(f"{site.address}/USPM/expense")
        settled(page).get_by_role("link", name="Sync…").click()
        expect(page.get_by_role("alert")).to_contain_text(said)
        expect(page.get_by_role("button", name="Start")).to_have_count(0)
        assert violations(page) == []
        token = page.locator("input[name=token]").get_attribute("value") or ""
        answer = httpx.post(f"{site.address}/USPM/sync", data={"token": token}, headers={"Origin": site.address})
        assert (answer.status_code, said in answer.text) == (409, True)
        assert site.called(*ACTIONS) == []
        page.goto(f"{site.address}/USPM/sync")
        expect(page.locator("#runs")).to_contain_text("No sync runs yet.")


@pytest.mark.requirement("R44")
def test_a_pair_that_is_away_and_one_that_answers_429_are_told_on_the_page(page: Page, site: Live) -> None:
    page.goto(f"{site.address}/USPM/expense?f.standing=actual-not-synced-back")
    settled(page).get_by_role("link", name="Sync…").click()
    site.pair.faults.next("throttled", "SendActual")
    site.pair.faults.next("refused", "SendActual")
    start(page)
    documents = page.get_by_role("region", name="By document")
    expect(documents).to_contain_text("throttled: ", timeout=30_000)
    expect(result(page)).to_have_text("Finished: 2 succeeded.", timeout=60_000)
    told = sorted(row.locator("td").nth(2).inner_text() for row in documents.locator("tbody tr").all())
    assert told == ["1 of 5", "2 of 5"]  # a call answered 429 is given back
    # Between two looks of the page a failure that passes may have passed; the document has every attempt.
    documents.locator("tbody tr", has_text="2 of 5").get_by_role("link").click()
    page.locator(".diagnosis").get_by_text("2 attempts").click()
    expect(page.locator(".diagnosis")).to_contain_text("transient: ")


@pytest.mark.requirement("R43", "R45")
def test_a_preview_confirmed_twice_is_one_run_and_a_second_person_begins_no_new_round(
    page: Page, tmp_path: Path
) -> None:
    with live(tmp_path, handles=False) as site:
        own = {"Origin": site.address}

        def token() -> str:
            page.goto(f"{site.address}/USPM/expense")
            settled(page).get_by_role("link", name="Sync…").click()
            found = page.locator("input[name=token]").get_attribute("value")
            assert found
            return found

        others, mine = token(), token()
        start(page)
        again = httpx.post(f"{site.address}/USPM/sync", data={"token": mine}, headers=own)
        assert again.status_code == 303
        assert again.headers["location"] == page.url.removeprefix(site.address).partition("?")[0]
        second = httpx.post(f"{site.address}/USPM/sync", data={"token": others}, headers=own)
        assert second.status_code == 303
        page.goto(site.address + second.headers["location"])
        expect(page.locator("#run")).to_contain_text("30 documents were already queued or in progress")
        page.goto(f"{site.address}/USPM/expense")
        settled(page).get_by_role("link", name="Sync…").click()
        expect(page.locator("#preview")).to_contain_text("30 documents no new attempt cycle")
        expect(page.locator("#preview")).to_contain_text(
            "Everything that can be synced is already queued or in progress."
        )
        expect(page.get_by_role("button", name="Start")).to_have_count(0)
        engine = connect(site.settings.store, write=False)
        syncs = SqlAttempts(engine).syncs()
        engine.dispose()
        assert {(sync.attempts.round, sync.attempts.made) for sync in syncs} == {(1, 0)}
        page.goto(f"{site.address}/USPM/sync")
        expect(page.get_by_role("region", name="Last runs").locator("tbody tr")).to_have_count(2)
        assert violations(page) == []


@pytest.mark.requirement("R43", "R47")
def test_a_handler_that_is_killed_in_a_call_leaves_a_page_that_is_right(page: Page, tmp_path: Path) -> None:
    def pace(request: Any) -> float:
        return 30.0 if "SendActual" in request.path else 0.0

    with live(tmp_path, handles=False, pair={"pace": pace}) as site:
        page.goto(f"{site.address}/USPM/sync/preview?document=USPM/USPM-PT000487")
        start(page)
        handler = start_handler(tmp_path, site)
        until(lambda: bool(site.called("SendActual")), 30)
        row = page.get_by_role("region", name="By document").locator("tbody tr").first
        expect(row).to_contain_text("In progress")
        os.kill(handler.pid, signal.SIGKILL)
        handler.wait()
        page.reload()
        expect(row).to_contain_text("In progress")
        # Five minutes later, when its claim has run out:
        engine = connect(site.settings.store, write=True)
        with engine.begin() as connection:
            connection.execute(text("UPDATE syncs SET until = :past"), {"past": time.time_ns() // 1_000 - SECOND})
        engine.dispose()
        expect(row).to_contain_text("Interrupted (will retry)")
        expect(row).to_contain_text("1 of 5")
        site.pair._pace = lambda request: 0.0
        handler = start_handler(tmp_path, site)
        expect(result(page)).to_have_text(re.compile(r"Finished: 1 (succeeded|no longer needed)\."))
        handler.terminate()
        handler.wait()
        made = int(row.locator("td").nth(2).inner_text().partition(" ")[0])
        assert len(site.called("SendActual")) <= made <= 2


def start_handler(folder: Path, site: Live) -> subprocess.Popen[bytes]:
    """A worker with the role `handle` in a process of its own."""
    address = site.settings.finance
    assert address is not None
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
    return subprocess.Popen(
        [sys.executable, "-m", "tieout", "run", "--role", "handle"],
        env=variables | environment(folder, address),
        cwd=folder,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.requirement("R41")
def test_the_recurring_job_is_run_now_and_its_last_result_and_next_run_are_told(page: Page, site: Live) -> None:
    page.goto(f"{site.address}/USPM/sync")
    job = page.get_by_role("region", name="Recurring job")
    expect(job).to_contain_text("Every day at 23:00 America/Chicago")
    expect(job).to_contain_text("None yet")
    expect(job).to_contain_text(re.compile(r"Next run\s*\d+/\d+/\d{4} 11:00:00 PM"))
    job.get_by_role("link", name="Run now…").click()
    expect(page.locator("#preview")).to_contain_text("Recurring job")
    start(page)
    result(page)
    page.get_by_role("link", name="All sync runs").click()
    expect(job).to_contain_text(re.compile(r"Last run\s*\d+/\d+/\d{4}.*succeeded"))


@pytest.mark.requirement("R47")
def test_a_run_that_no_handler_takes_up_asks_for_one(page: Page, tmp_path: Path) -> None:
    with live(tmp_path, handles=False) as site:
        page.goto(f"{site.address}/USPM/sync/preview?document=USPM/USPM-PT000487")
        start(page)
        engine = connect(site.settings.store, write=True)
        with engine.begin() as connection:
            connection.execute(text("UPDATE sync_runs SET at = at - 60000000"))
        engine.dispose()
        expect(page.locator("#run")).to_contain_text("Is a worker with the role handle running")


def test_a_confirmation_from_elsewhere_and_one_that_cannot_be_read_are_refused(site: Live) -> None:
    address = f"{site.address}/USPM/sync"
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {}):
        assert httpx.post(address, data={"token": "x"}, headers=headers).status_code == 403
    own = {"Origin": site.address}
    for token in ("", "x", "é", "A" * 1_000):
        answer = httpx.post(address, data={"token": token}, headers=own)
        assert (answer.status_code, "Invalid request" in answer.text) == (400, True), token
    assert httpx.post(address, content=b"x" * 7_000_000, headers=own).status_code == 413
    assert httpx.get(f"{address}/00000000-0000-0000-0000-000000000000").status_code == 404
    assert site.called(*ACTIONS) == []
