"""What holds for every page: people with assistive tools, the content policy, screens of all sizes, few bytes."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy.exc import OperationalError

from store.queries.snapshot import Snapshot
from tests.browser.reading import settled
from tests.support.workspace import Served
from tieout.workspace.web.security import CONTENT_POLICY
from tools.screenshots import PAGES

AXE = Axe()
BYTES = 50_000
# Their templates are looked at with fewer rows: axe's time grows with the cells.
SAME_TEMPLATE = ("expense", "expense-all", "expense-filtered", "drawer")


@pytest.mark.parametrize("name", [name for name in PAGES if name not in SAME_TEMPLATE])
def test_a_page_is_accessible_in_both_schemes_and_keeps_the_policy(page: Page, served: Served, name: str) -> None:
    answer = page.goto(served.address + PAGES[name])
    assert answer is not None
    assert answer.header_value("content-security-policy") == CONTENT_POLICY
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, {"runOnly": ["color-contrast"]}) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_open_drawer_is_accessible_with_all_its_parts_open(page: Page, served: Served, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{served.address}/USPM/expense?view=missing-journal-lines&f.standing=draft")
    page.locator("#grid a.row").first.click()
    page.locator("#drawer summary").first.wait_for()
    for summary in page.locator("#drawer summary").all():
        summary.click()
    # What is replaced is paler for a moment.
    settled(page)
    assert violations(page) == []


def violations(page: Page, options: dict[str, Any] | None = None) -> list[tuple[str, list[str]]]:
    """What axe finds: the rule, and where. It looks at the size of what can be pressed only when asked to."""
    every = {"rules": {"target-size": {"enabled": True}}}
    found = AXE.run(page, options=options or every).response["violations"]
    return [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found]


def test_the_policy_allows_nothing_unsafe() -> None:
    assert CONTENT_POLICY.startswith("default-src 'none'")
    assert "unsafe" not in CONTENT_POLICY
    assert "require-trusted-types-for 'script'" in CONTENT_POLICY


def test_markup_cannot_be_made_of_text(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    page.goto(f"{served.address}/USPM")
    for attempt in ("document.body.innerHTML = 'x'", "trustedTypes.createPolicy('other', {})"):
        refused = "() => { try { ATTEMPT; return 'done' } catch (fault) { return fault.name } }"
        assert page.evaluate(refused.replace("ATTEMPT", attempt)) == "TypeError", attempt


def test_nothing_is_cut_and_no_page_is_wider_than_the_screen(page: Page, served: Served) -> None:
    for name, path in PAGES.items():
        page.goto(served.address + path)
        for width in (1440, 1024, 768, 390):
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide == 0, (name, width)
            cut = page.evaluate(
                """() => [...document.querySelectorAll("td.right, .figure, .total, th.doc")]
                    .filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent)"""
            )
            assert cut == [], (name, width)


def test_on_paper_no_page_is_wider_than_a_sheet_on_its_side(page: Page, served: Served) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1032, "height": 703})  # A4 without its margins, in pixels of CSS
    for name, path in PAGES.items():
        page.goto(served.address + path)
        wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, name


def test_a_page_has_few_bytes_and_few_files(page: Page, served: Served) -> None:
    for name in ("summary", "expense-all", "invoices", "drawer", "balance", "errors"):
        page.goto(served.address + PAGES[name])
        loaded = page.evaluate(
            """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
                .map((one) => [one.name.split("#")[0], one.transferSize])"""
        )
        assert sum(size for _, size in loaded) < BYTES, name
        assert len({file for file, _ in loaded}) <= 4, name


def test_times_and_places_can_be_followed_by_the_keyboard_alone(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/USPM/expense")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to content")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("main :focus")).to_have_text("Sync…")


def test_the_navigation_leads_to_every_page_and_says_what_is_open(page: Page, served: Served) -> None:
    entries = {
        "Summary": "",
        "Expense": "49",
        "Vendor invoice lines": "9",
        "Account reconciliation": "",
        "Findings": "",
        "Not synced to Finance": "",
        "Most recent errors": "6",
        "General journals": "1",
        "Invoice proposals": "",
        "Sync runs": "",
        "Operation": "",
        "Rejected events": "",
    }
    for path in ("/USPM", "/USPM/errors", "/operation?company=USPM"):
        page.goto(served.address + path)
        links = page.locator(".rail a").all()
        found = {link.get_attribute("title"): link.locator(".count").all_text_contents() for link in links}
        assert found == {title: [number] if number else [] for title, number in entries.items()}, path
    for title in entries:
        page.goto(f"{served.address}/USPM/expense?from=2024-12-01&to=2025-01-08")
        page.locator(".rail").get_by_role("link", name=title).click()
        expect(page.locator(".rail [aria-current=page]")).to_have_attribute("title", title)
        expect(page.locator("h1")).to_be_visible()
    page.goto(f"{served.address}/USPM/expense?from=2024-12-01&to=2025-01-08")
    page.locator(".rail").get_by_role("link", name="Summary").click()
    page.wait_for_url("**/USPM?from=2024-12-01&to=2025-01-08")


def test_the_other_company_and_all_companies_are_one_choice_away_from_operation(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/operation")
    page.get_by_label("Company").select_option("USPM")
    page.wait_for_url("**/operation?company=USPM")
    expect(page.locator(".rail [aria-current=page]")).to_have_attribute("title", "Operation")


def test_a_page_has_at_most_one_primary_action(page: Page, served: Served) -> None:
    for name, path in PAGES.items():
        page.goto(served.address + path)
        assert page.locator(".primary").count() <= 1, name


@pytest.mark.parametrize("script", [True, False])
def test_the_theme_is_chosen_with_and_without_script_and_stays(browser: Browser, served: Served, script: bool) -> None:
    context = browser.new_context(java_script_enabled=script, color_scheme="light")
    page = context.new_page()
    page.goto(f"{served.address}/USPM/expense?view=all")
    for theme, color in (("Dark", "rgb(20, 25, 31)"), ("Light", "rgb(255, 255, 255)"), ("Dark", "rgb(20, 25, 31)")):
        page.get_by_label("Theme").click()
        page.get_by_role("button", name=theme).click()
        page.wait_for_url(f"{served.address}/USPM/expense?view=all")
        expect(page.locator("body")).to_have_css("background-color", color)
    page.goto(f"{served.address}/operation")
    expect(page.locator("body")).to_have_css("background-color", "rgb(20, 25, 31)")
    page.get_by_label("Theme").click()
    page.get_by_role("button", name="System").click()
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    context.close()


@pytest.mark.parametrize("back", ["//evil.example", "/\\evil.example", "https://evil.example", "", "\t/x"])
def test_the_choice_of_a_theme_leads_to_no_other_site(served: Served, back: str) -> None:
    answer = httpx.get(f"{served.address}/theme", params={"theme": "dark", "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_on_a_phone_rows_are_cards_and_the_navigation_is_a_menu(page: Page, served: Served) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{served.address}/USPM/expense")
    expect(page.locator(".rail")).to_be_hidden()
    card = page.locator("#grid tbody tr").first
    expect(card).to_contain_text("USPM-PT000489")
    expect(card.locator(".chip")).to_have_text("Actual reversed")
    expect(card.locator(".sum")).to_have_text("100.00")
    expect(page.locator("#foot")).to_contain_text("Total 40 documents")
    assert violations(page) == []
    page.get_by_label("Menu").click()
    page.locator(".rail").get_by_role("link", name="Most recent errors").click()
    expect(page.locator("h1")).to_have_text("Most recent errors")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example"])
def test_another_sites_name_is_refused(served: Served, host: str) -> None:
    assert httpx.get(f"{served.address}/USPM", headers={"Host": host}).status_code == 400
    assert httpx.get(f"{served.address}/health").text == "ok"


def test_nothing_but_reading_is_allowed(served: Served) -> None:
    for method in ("POST", "PUT", "DELETE"):
        address, own = f"{served.address}/USPM/expense", {"Origin": served.address}
        assert httpx.request(method, address, headers=own).status_code == 405


def test_a_fault_of_ours_is_told_with_the_same_policy(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> Any:
        raise AssertionError("a secret")

    monkeypatch.setattr(Snapshot, "summary", broken)
    answer = httpx.get(f"{served.address}/USPM")
    assert answer.status_code == 500
    assert "Internal error" in answer.text
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"] == CONTENT_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_store_that_does_not_answer_is_told(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: Any) -> Any:
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    monkeypatch.setattr(Snapshot, "summary", away)
    answer = httpx.get(f"{served.address}/USPM")
    assert (answer.status_code, answer.headers["content-security-policy"]) == (503, CONTENT_POLICY)
    assert "Store or event log unavailable" in answer.text
    assert "connection refused" in answer.text
    assert "SELECT" not in answer.text


@pytest.mark.requirement("R35")
def test_rows_are_sent_before_the_totals_are_added_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    told, rows_are_here = Snapshot.totals, Event()

    def later(*arguments: Any) -> Any:
        assert rows_are_here.wait(10)
        return told(*arguments)

    monkeypatch.setattr(Snapshot, "totals", later)
    text = ""
    with httpx.stream(
        "GET", f"{served.address}/USPM/expense?f.amount=>50", headers={"Accept-Encoding": "identity"}
    ) as answer:
        for piece in answer.iter_text():
            text += piece
            if "USPM-PT000487" in text and not rows_are_here.is_set():
                assert 'id="totals"' not in text
                rows_are_here.set()
    assert 'id="totals"' in text


@pytest.mark.requirement("R82")
def test_more_people_than_the_store_has_connections_all_get_their_page(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page keeps a connection while it is sent in pieces: those that wait for one must not stop those that send."""
    told = Snapshot.trend

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.5)
        return told(*arguments)

    monkeypatch.setattr(Snapshot, "trend", slowly)

    def read(_: int) -> int:
        return httpx.get(f"{served.address}/USPM/balance", timeout=100).status_code

    with ThreadPoolExecutor(80) as pool:
        assert set(pool.map(read, range(80))) == {200}
