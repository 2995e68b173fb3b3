"""For any address or form the workspace responds with a page or with the fault of the request, never with 5xx."""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from store.queries.filters import COLUMNS
from tests.support.soak import examples
from tests.support.workspace import lines, posted_expense, project, served, settings_in, small_company
from tieout.workspace.app import routes

ODD: Final = 'Ü"\\;é日\x07%0'
"""An unusual company code."""

HOSTILE: Final = (
    *("", " ", "0", "-1", "1.5", str(2**31), str(2**63), str(2**64), "9" * 400, "9" * 5_000, "-" + "9" * 5_000),
    *("١٢٣", "1e999", "NaN", "a" * 50_000, "0000-00-00", "0001-01-01", "9999-12-31", "2024-12-31", "2025-01-08"),
    *("0001", "9999", "9999-12", ">=9999", "<0001-01-01", "0001-01-01..9999-12-31", "..", ">", "!", "=", "*", "!2024"),
    *("\x00", "a\x00b", "\x1b[2J", "\r\nSet-Cookie: a=b", '"', "'", "\\", "%", "%_", "../..", "~", "~~", "~1", "1~a"),
    *("\ufffe", "😀" * 1_000, "USPM", ODD, "on", "all", "end", "date", "-amount", "month", "amount-999", "USPM/x"),
)
PARAMETERS: Final = (
    *("account", "about", "after", "at", "before", "changed", "column", "columns", "company", "document", "error"),
    *("from", "group", "job", "journal", "keep", "kind", "ledger", "n", "open", "page", "process", "q", "requested"),
    *("section", "show", "sort", "to", "typed", "view", "was"),
    *(f"f.{name}" for name in (*COLUMNS, "message", "nothing")),
)

PARTS: Final = {
    "company": ("USPM",),
    "name": ("USPM-PT000487",),
    "topic": ("tieout.finance.changes",),
    "partition": ("0",),
    "offset": ("0",),
    "name:path": ("USPM-PT000487",),
}
"""Existing values of each part of a path."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The workspace of the small company, and of one with an odd code."""
    chosen = settings_in(tmp_path_factory.mktemp("workspace"))
    project(chosen, [*small_company(), *lines([posted_expense("1", "100.00", company=ODD)])])
    with served(chosen) as place, httpx.Client(base_url=place.address, timeout=60) as made:
        yield made


def asked(client: httpx.Client, path: str, parts: Mapping[str, str], query: Mapping[str, str]) -> None:
    """Ask for a page with these parts of its path, as they are written there, and this query."""
    for name, texts in PARTS.items():
        path = path.replace("{" + name + "}", parts.get(name, texts[0]))
    address = f"{path}?{urlencode(query)}" if query else path
    if len(address) > LONGEST:
        return
    answer = client.get(address)
    assert answer.status_code < 500, address[:500]


ROUTES: Final = tuple(route.path for route in routes())
WINDOW: Final = {"from": "2024-01-01", "to": "2025-01-31"}
LONGEST: Final = 65_000
"""Longer addresses the server refuses, and httpx does not send."""
ANYTHING: Final = st.sampled_from(HOSTILE) | st.text(max_size=40)


@pytest.mark.parametrize("path", [path for path in ROUTES if "{" in path])
def test_a_hostile_part_of_a_path_is_no_fault(client: httpx.Client, path: str) -> None:
    for name in PARTS:
        if "{" + name + "}" in path:
            for text in HOSTILE:
                asked(client, path, {name: quote(text, safe="")}, {})


@pytest.mark.parametrize("address", ["/USPM%00/errors", "/USPM/errors?f.message=a%00b", "/event/a%00b/0/0"])
def test_an_address_with_the_character_nul_is_refused_before_a_database_sees_it(
    client: httpx.Client, address: str
) -> None:
    answer = client.get(address)
    assert (answer.status_code, "NUL" in answer.text) == (400, True)


@pytest.mark.parametrize("path", [path for path in ROUTES if "{company}" in path])
def test_a_company_may_have_any_code(client: httpx.Client, path: str) -> None:
    asked(client, path, {"company": quote(ODD, safe="")}, WINDOW)


def test_a_file_is_named_for_a_company_with_an_odd_code(client: httpx.Client) -> None:
    answer = client.get(f"/{quote(ODD, safe='')}/expense.csv?{urlencode({**WINDOW, 'view': 'all'})}")
    assert (answer.status_code, "100.00" in answer.text) == (200, True)
    named = f"{quote(ODD.upper(), safe='')}-expense-2024-01-01-2025-01-31.csv"
    assert answer.headers["content-disposition"].endswith(f"; filename*=UTF-8''{named}")
    assert answer.headers["content-disposition"].isascii()


@given(st.sampled_from(ROUTES), st.dictionaries(st.sampled_from(PARAMETERS), ANYTHING, max_size=4))
@example("/{company}/expense", {"f.amount": "9" * 5_000})
@example("/{company}/expense", {"f.voucher": "a" * 50_000})
@example("/{company}/expense", {"q": "a" * 50_000})
@settings(deadline=None, max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_parameters_are_no_fault(client: httpx.Client, path: str, query: dict[str, str]) -> None:
    asked(client, path, {}, query)


FIELDS: Final = ("who", "why", "seen", "token", "document", "name", "other")
FORMS: Final = tuple(route.path for route in routes() if "POST" in (route.methods or ()))


@given(st.sampled_from(FORMS), st.dictionaries(st.sampled_from(FIELDS), ANYTHING) | st.binary(max_size=200))
@settings(deadline=None, max_examples=examples(50))
def test_a_hostile_form_is_no_fault(client: httpx.Client, path: str, form: dict[str, str] | bytes) -> None:
    headers = {"origin": str(client.base_url).rstrip("/"), "content-type": "application/x-www-form-urlencoded"}
    content = form if isinstance(form, bytes) else urlencode(form).encode()
    assert client.post(path.replace("{company}", "USPM"), content=content, headers=headers).status_code < 500
