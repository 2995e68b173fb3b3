"""The addresses that the tests of every page visit."""

from tieout.workspace import pages
from tools.screenshots import PAGES

REDIRECTS = {"/", "/company", "/{company}/postings-without-document"}
SIGN_IN = {"/sign-in", "/sign-in/callback", "/signed-out"}
"""Pages that only a workspace with sign-in has: `tests/browser/test_sign_in.py` visits them."""


def test_every_page_has_an_address_that_the_tests_of_every_page_visit() -> None:
    paths = [address.partition("?")[0] for address in PAGES.values()]
    shown = [
        route for route in pages.routes() if "GET" in (route.methods or ()) and route.path not in REDIRECTS | SIGN_IN
    ]
    unvisited = [route.path for route in shown if not any(route.path_regex.match(path) for path in paths)]
    # Files and bytes are no pages.
    assert [path for path in unvisited if not path.endswith((".csv", "/bytes"))] == []
