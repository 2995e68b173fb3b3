"""Sign-in in Chromium with a real Keycloak: an address opens after it, roles count, and sign-out ends both sessions."""

import re
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.test_every_page import violations
from tests.support.containers import free_port
from tests.support.keycloak import PASSWORD, SECRET, keycloak
from tests.support.workspace import Served, demonstrate, need_a_browser, settings_in
from tieout.workspace.server import listen, serve_in_background

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R35", "R83")]

DEEP = "/USPM/expense?view=missing-actuals&f.amount=%3E50"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The workspace of the small company, with sign-in at Keycloak."""
    need_a_browser()
    settings = settings_in(tmp_path_factory.mktemp("workspace"))
    demonstrate(settings)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with keycloak(address) as issuer:
        signed = replace(
            settings, issuer=issuer, sign_in_client_id="tieout", sign_in_secret=SECRET, workspace_address=address
        )
        with serve_in_background(signed, listen(port)):
            yield Served(address, signed)


def sign_in(page: Page, address: str, name: str) -> None:
    """Open an address as somebody was sent it, and sign in at Keycloak."""
    page.goto(address)
    page.wait_for_url(re.compile(r"/realms/tieout/protocol/openid-connect/auth"))
    page.locator("#username").fill(name)
    page.locator("#password").fill(PASSWORD)
    page.locator("#kc-login").click()


def test_an_address_that_was_sent_opens_after_sign_in_and_sign_out_ends_everything(
    context: BrowserContext, page: Page, served: Served
) -> None:
    sign_in(page, served.address + DEEP, "operator")
    page.wait_for_url(served.address + DEEP)
    expect(page.locator("#grid")).to_be_visible()
    expect(page.locator(".identity")).to_contain_text("operator")
    assert violations(page) == []
    [cookie] = [cookie for cookie in context.cookies() if cookie["name"] == "tieout-session"]
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, True, "Lax", "/")
    assert not [cookie for cookie in context.cookies() if cookie["name"].startswith("tieout-sign-in")]
    # An operator may preview a sync; the workspace is the same as without sign-in.
    page.get_by_role("link", name="Sync…").click()
    expect(page.locator("#preview")).to_contain_text("To sync")
    page.locator(".identity summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{served.address}/signed-out")
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    assert violations(page) == []
    # Neither here nor at Keycloak is a session left: it asks for the password again.
    page.get_by_role("link", name="Sign in").click()
    expect(page.locator("#password")).to_be_visible()


def test_a_person_without_the_role_can_read_and_cannot_act(page: Page, served: Served) -> None:
    sign_in(page, f"{served.address}/USPM", "viewer")
    expect(page.get_by_role("heading", name="Unreconciled amounts")).to_be_visible()
    answer = page.goto(f"{served.address}/USPM/sync/preview")
    assert answer is not None
    assert answer.status == 403
    expect(page.get_by_role("heading", name="No access")).to_be_visible()
    expect(page.locator("main")).to_contain_text("This needs the role operator in the company USPM.")
    assert violations(page) == []


def test_a_page_that_is_open_when_the_session_ends_leads_to_sign_in(
    context: BrowserContext, page: Page, served: Served
) -> None:
    sign_in(page, f"{served.address}/USPM/expense?view=all", "administrator")
    page.wait_for_url(f"{served.address}/USPM/expense?view=all")
    context.clear_cookies(name="tieout-session")
    page.get_by_role("link", name="Refresh").click()
    # Keycloak still knows the person, so the workspace opens again without a password.
    page.get_by_role("link", name="Go to workspace").click()
    expect(page.locator(".identity")).to_contain_text("administrator")
