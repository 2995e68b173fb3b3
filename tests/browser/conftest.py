"""A browser, and the workspace of the small company. Where no Chromium is, these tests skip, or fail when it is
required.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.support.workspace import BROWSER, FLAGS, Served, demonstrated, need_a_browser


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The workspace of the small company, with errors and a rejected event. Tests must not change it."""
    need_a_browser()
    with demonstrated(tmp_path_factory.mktemp("workspace")) as found:
        yield found


@pytest.fixture(scope="module")  # while it is open, Playwright's event loop runs in this thread, and others cannot
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    need_a_browser()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A person's browser, in American English."""
    made = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US", color_scheme="light")
    made.set_default_timeout(10_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab. Errors in its console fail the test, except for pages that are refused intentionally."""
    opened = context.new_page()
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "the server responded with a status of 4" not in message.text:
            said.append(message.text)

    opened.on("console", note)
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    assert said == []
