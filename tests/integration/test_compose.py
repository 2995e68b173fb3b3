"""docker-compose.yml: one command gives a running product with a simulated company. One worker takes over from another,
and Sync works.
"""

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.support.composition import PASSWORD, SECRET, START_SECONDS, WORKERS, Composition, composed
from tests.support.containers import until
from tests.support.keycloak import ready_issuer
from tests.support.people import Person
from tests.support.workspace import BROWSER, FLAGS, need_a_browser

pytestmark = pytest.mark.containers

FAIL_OVER_SECONDS = 15.0
SYNC_SECONDS = 120.0


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composition]:
    """One run for all tests of this file, which come in their order: the last ones change the figures."""
    with composed(tmp_path_factory.mktemp("compose")) as composition:
        yield composition


def amounts(summary: dict[str, Any] | None) -> dict[str, str]:
    return {} if summary is None else {name: tile["amount"] for name, tile in summary["tiles"].items()}


@pytest.mark.requirement("R71", "R81", "R82")
def test_it_runs_with_the_documented_tiles_and_goes_on_when_the_writer_is_killed(compose: Composition) -> None:
    documented = {
        "expense_missing_journal_lines": "5000.00",
        "expense_missing_actuals": "4000.00",
        "vendor_invoice_missing_journal_lines": "23000.00",
        "vendor_invoice_missing_actuals": "5000.00",
    }
    question = ("summary", "--company", "USPM", "--json")

    def reconciled() -> bool:
        return amounts(compose.tieout(WORKERS[0], *question)) == documented

    until(reconciled, START_SECONDS, every=1.0)
    summary = compose.tieout(WORKERS[1], *question)
    assert summary is not None
    assert {name: tile["amount"] for name, tile in summary["unreconciled"].items()} == {
        "expense": "9000.00",
        "vendor_invoice": "28000.00",
    }

    until(lambda: sum(map(compose.writes, WORKERS)) == 1 and sum(map(compose.stands_by, WORKERS)) == 1, 30)
    writer, other = sorted(WORKERS, key=compose.writes, reverse=True)
    told = compose.tieout(other, "check", "--json")
    assert told is not None
    assert [line for line in told["checks"] if not line["ok"]] == []

    compose("kill", "-s", "SIGKILL", writer)
    killed = time.monotonic()
    until(lambda: compose.writes(other), FAIL_OVER_SECONDS)
    assert time.monotonic() - killed < FAIL_OVER_SECONDS
    assert amounts(compose.tieout(other, *question)) == documented
    compose("start", writer)
    until(lambda: compose.stands_by(writer), 60)


def test_the_image_runs_as_nobody_in_particular_and_holds_no_installer(compose: Composition) -> None:
    assert compose("exec", "-T", WORKERS[1], "id", "-u").strip() == "10001"
    found = compose("exec", "-T", WORKERS[1], "sh", "-c", "ls /opt/tieout/bin; ls /source 2>&1 || true")
    assert "pip" not in found.split()


@pytest.fixture(scope="module")
def operator(compose: Composition) -> Person:
    """A person who has signed in at the identity provider of the file."""
    ready_issuer(compose.sign_in_port)
    person = Person(compose.workspace)
    assert person.sign_in_with_password("operator", PASSWORD).status_code == 200
    return person


def page(operator: Person, path: str) -> str:
    """The words of a page, without markup."""
    answer = operator.get(path)
    answer.raise_for_status()
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]*>", " ", answer.text).split())


def tile(words: str, label: str) -> str | None:
    """Return the amount after the name of a tile on a page."""
    found = re.search(rf"{label} ([\d,.]+)", words)
    return found and found[1]


@pytest.mark.requirement("R30", "R81")
def test_the_workspace_shows_the_company_on_its_published_port_and_refuses_other_host_names(
    compose: Composition, operator: Person
) -> None:
    assert httpx.get(f"{compose.workspace}/USPM").headers["location"] == "/sign-in?then=%2FUSPM"
    told = page(operator, "/USPM")
    assert tile(told, "Unreconciled expense amount") == "9,000.00"
    assert tile(told, "Unreconciled vendor invoice amount") == "28,000.00"
    assert tile(told, "Expense missing actuals") == "4,000.00"
    foreign = httpx.get(compose.workspace, headers={"Host": f"ledger.example.com:{compose.port}"})
    assert foreign.status_code == 400
    sent = httpx.post(f"{compose.workspace}/USPM/errors/delete", headers={"Origin": "http://ledger.example.com"})
    assert sent.status_code == 403


@pytest.mark.requirement("R40", "R48", "R81")
def test_sync_goes_through_the_handler_and_the_pair_and_the_pages_show_what_cleared(
    compose: Composition, operator: Person
) -> None:
    told = compose.tieout("handler", "check", "--json")
    assert told is not None
    assert told["ok"], told
    need_a_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page_of = browser.new_page(locale="en-US")
        page_of.goto(f"{compose.workspace}/USPM/expense")
        page_of.locator("#username").fill("operator")
        page_of.locator("#password").fill(PASSWORD)
        page_of.locator("#kc-login").click()
        page_of.get_by_role("link", name="Sync…").click()
        page_of.get_by_role("link", name="Sync all documents of these dates instead").click()
        expect(page_of.locator("#preview")).to_contain_text("To sync")
        expect(page_of.locator("#preview")).to_contain_text("40 documents")
        page_of.get_by_role("button", name="Start").click()
        expect(page_of.locator("#run")).to_contain_text("Finished: 40 succeeded.", timeout=SYNC_SECONDS * 1_000)
        browser.close()

    def cleared() -> bool:
        # What the pair did comes back as events; what is left needs a person.
        return tile(page(operator, "/USPM"), "Expense missing actuals") == "1,000.00"

    until(cleared, SYNC_SECONDS, every=1.0)
    shown = page(operator, "/USPM")
    assert tile(shown, "Vendor invoice missing actuals") == "0.00"
    # Drafts that were there are posted; what has its actual now waits for that.
    assert tile(shown, "Unreconciled expense amount") == "8,200.00"


def test_every_service_is_healthy_and_no_log_holds_a_secret(compose: Composition) -> None:
    until(lambda: compose.unhealthy() == [], 90, every=1.0)
    told = compose("logs", "--no-color")
    assert '"level": "error"' not in told
    assert '"event": "signed_in"' in told
    assert PASSWORD not in told
    assert SECRET not in told
