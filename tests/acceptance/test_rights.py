"""Who may open which route of which company: role × company × route, cell by cell."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.identity_provider import IdentityProvider, identity_provider
from tests.support.people import Person, served_with_sign_in
from tests.support.workspace import Served, lines, posted_expense, project, settings_in, small_company
from tieout.access.identities import Right
from tieout.workspace import app
from tieout.workspace.web import route_rights

pytestmark = pytest.mark.requirement("R83")

ALLOWED, REFUSED, SIGN_IN = "allowed", "refused", "sign in"

PEOPLE: Final = {
    "nobody": None,
    "viewer": ["viewer"],
    "operator": ["operator"],
    "administrator": ["administrator"],
    "raw events": ["raw-events"],
    "viewer of USPM": ["viewer:USPM"],
    "operator of USPM": ["operator:USPM"],
    "administrator of USPM": ["administrator:USPM"],
    "raw events of USPM": ["raw-events:USPM"],
    "viewer, and operator of USPM": ["viewer", "operator:USPM"],
    "viewer of USPM, raw events": ["viewer:USPM", "raw-events"],
}
"""Role values of each person; None is not signed in."""

_NO_VIEW: Final = {"nobody", "raw events", "raw events of USPM"}
_OF_USPM: Final = {name for name in PEOPLE if name.endswith("of USPM") and name != "viewer, and operator of USPM"}
_VIEWERS: Final = {
    "USPM": set(PEOPLE) - _NO_VIEW,
    "GBPM": set(PEOPLE) - _NO_VIEW - _OF_USPM - {"viewer of USPM, raw events"},
}
_EVERYWHERE: Final = {"operator", "administrator"}
_OPERATORS: Final = {
    "USPM": _EVERYWHERE | {"operator of USPM", "administrator of USPM", "viewer, and operator of USPM"},
    "GBPM": _EVERYWHERE,
}
_READERS: Final = {"raw events", "raw events of USPM", "viewer of USPM, raw events"}

VIEW: Final = tuple(
    f"/{{company}}{path}"
    for path in (
        *("", "/expense", "/expense.csv", "/vendor-invoice-lines", "/vendor-invoice-lines.csv"),
        *("/document/{name:path}", "/balance", "/account/{part}", "/account/{part}.csv"),
        *("/findings", "/findings.csv"),
        *("/postings-without-document", "/postings-without-document.csv", "/not-synced", "/not-synced.csv"),
        *("/invoice-proposals", "/invoice-proposals.csv", "/general-journals", "/general-journals.csv"),
        *("/errors", "/errors.csv", "/errors/history", "/sync", "/sync/{run}", "/sync/{run}.csv"),
    )
)
OPERATE: Final = (
    ("GET", "/{company}/errors/delete"),
    ("POST", "/{company}/errors/delete"),
    ("POST", "/{company}/balance"),
    ("POST", "/{company}/sync"),
    ("GET", "/{company}/sync/preview"),
    ("GET", "/{company}/sync/preview.csv"),
)
OF_NO_COMPANY: Final = {
    ("GET", "/"): _VIEWERS["USPM"],
    ("GET", "/company"): _VIEWERS["USPM"],
    ("GET", "/operation"): _VIEWERS["USPM"],
    ("GET", "/operation/checks"): {"administrator"},
    ("GET", "/operation/rejected"): {"raw events", "viewer of USPM, raw events"},
    ("GET", "/event/{topic}/{partition}/{offset}"): _READERS,
    ("GET", "/event/{topic}/{partition}/{offset}/bytes"): _READERS,
}
PUBLIC: Final = {
    ("GET", path) for path in ("/static/{name}", "/health", "/theme", "/sign-in", "/sign-in/callback", "/signed-out")
} | {("POST", "/sign-out")}

TABLE: Final = {
    **{("GET", path): _VIEWERS for path in VIEW},
    **dict.fromkeys(OPERATE, _OPERATORS),
}
"""For each route of a company, who may open it in each company. No role of one company is a role of another."""

PARTS: Final = {
    "{topic}": "tieout.finance.changes",
    "{partition}": "0",
    "{offset}": "0",
    "{name:path}": "USPM-PT000487",
    "{part}": "missing-actual",
    "{run}": "none",
    "{name}": "workspace.css",
}


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, provider: IdentityProvider) -> Iterator[Served]:
    """A workspace with documents of two companies. The first event is of USPM."""
    settings = settings_in(tmp_path_factory.mktemp("workspace"))
    of_both = [posted_expense("1", "100.00"), posted_expense("2", "7.00", company="GBPM")]
    project(settings, [*lines(of_both), *small_company()])
    with served_with_sign_in(settings, provider, companies=None) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def people(served: Served, provider: IdentityProvider) -> dict[str, Person]:
    """Each person with a session of their own."""
    signed_in = {}
    for number, (name, roles) in enumerate(PEOPLE.items()):
        person = Person(served.address)
        if roles is not None:
            provider.person = {"sub": str(number), "preferred_username": name, "roles": roles}
            person.sign_in()
            assert "tieout-session" in person.cookies
        signed_in[name] = person
    return signed_in


def outcome(person: Person, method: str, path: str) -> str:
    """Return what a person sees of a route: a page or a fault of the request means that the route is allowed."""
    answer = person.get(path) if method == "GET" else person.post(path, {"why": ""})
    assert answer.status_code < 500, answer.text
    if answer.status_code == 401 or answer.headers.get("location", "").startswith("/sign-in"):
        return SIGN_IN
    return REFUSED if answer.status_code == 403 else ALLOWED


def concrete(path: str, company: str) -> str:
    for name, value in {"{company}": company, **PARTS}.items():
        path = path.replace(name, value)
    return path


@pytest.mark.parametrize("company", ["USPM", "GBPM"])
@pytest.mark.parametrize("route", TABLE, ids=" ".join)
def test_a_route_of_a_company_is_open_to_its_roles_in_this_company_alone(
    people: dict[str, Person], route: tuple[str, str], company: str
) -> None:
    method, path = route
    outcomes = {name: outcome(person, method, concrete(path, company)) for name, person in people.items()}
    allowed = TABLE[route][company]
    expected = {name: ALLOWED if name in allowed else SIGN_IN if name == "nobody" else REFUSED for name in PEOPLE}
    assert outcomes == expected


@pytest.mark.parametrize("route", OF_NO_COMPANY, ids=" ".join)
def test_a_route_of_no_company_is_open_to_its_roles(people: dict[str, Person], route: tuple[str, str]) -> None:
    method, path = route
    outcomes = {name: outcome(person, method, concrete(path, "")) for name, person in people.items()}
    allowed = OF_NO_COMPANY[route]
    assert outcomes == {
        name: ALLOWED if name in allowed else SIGN_IN if name == "nobody" else REFUSED for name in PEOPLE
    }


@pytest.mark.parametrize("path", ["/health", "/static/workspace.css", "/signed-out"])
def test_what_is_public_shows_nothing_of_a_company(people: dict[str, Person], path: str) -> None:
    page = people["nobody"].get(path)
    assert page.status_code == 200
    assert not any(word in page.text for word in ("USPM", "GBPM", "100.00"))


def test_every_route_is_in_the_table_of_these_tests() -> None:
    served = {(method, route.path) for route in app.routes() for method in route.methods or () if method != "HEAD"}
    assert served == set(TABLE) | set(OF_NO_COMPANY) | PUBLIC == set(route_rights.ROUTE_RIGHTS)


def test_a_route_without_an_entry_cannot_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(route_rights.ROUTE_RIGHTS, ("GET", "/operation"))
    with pytest.raises(LookupError, match="GET /operation has no entry in ROUTE_RIGHTS"):
        app.routes()


def test_no_route_of_a_company_needs_less_than_a_right_in_it() -> None:
    for (_, path), (_, scope) in route_rights.ROUTE_RIGHTS.items():
        if path.startswith("/{company}"):
            assert scope is route_rights.Scope.COMPANY
        if scope is route_rights.Scope.PUBLIC:
            assert path.split("/")[1] in ("static", "theme", "health", "sign-in", "sign-out", "signed-out")
    changing = [key for key in route_rights.ROUTE_RIGHTS if key[0] != "GET" and key[1] != "/sign-out"]
    assert {route_rights.ROUTE_RIGHTS[key].right for key in changing} == {Right.OPERATE}


# --- ways around the company of the address --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/gbpm/expense",
        "/GBPM%20/expense",
        "/USPM/expense?view=all&open=GBPM/2",
        "/USPM/expense?view=all&open=gbpm/2",
        "/USPM/sync/preview?document=GBPM/2",
        "/operation?company=GBPM",
        "/operation?company=gbpm",
        "/XXXX/expense",
        "/XXXX/document/1",
    ],
)
def test_another_company_cannot_be_reached_over_an_address_of_the_own(people: dict[str, Person], path: str) -> None:
    page = people["operator of USPM"].get(path)
    assert page.status_code == 403
    # Nor does the answer tell whether there is such a company or document.
    assert "7.00" not in page.text


def test_lists_of_companies_contain_the_own_only(people: dict[str, Person]) -> None:
    own = people["operator of USPM"]
    assert own.get("/").headers["location"] == "/USPM"
    assert "GBPM" not in own.get("/USPM").text
    assert "GBPM" in people["viewer"].get("/USPM").text
    assert own.follow(own.get("/company?company=GBPM&section=expense")).status_code == 403


def test_the_configuration_is_shown_to_administrators_of_every_company(people: dict[str, Person]) -> None:
    shown = {name for name, person in people.items() if "TIEOUT_BROKER" in person.get("/operation").text}
    assert shown == {"administrator"}


def test_a_raw_event_is_shown_to_those_who_may_see_the_events_of_its_company(people: dict[str, Person]) -> None:
    def readers(offset: int) -> set[str]:
        paths = [f"/event/tieout.finance.changes/0/{offset}{end}" for end in ("", "/bytes")]
        outcomes = {name: {outcome(person, "GET", path) for path in paths} for name, person in people.items()}
        return {name for name, seen in outcomes.items() if seen == {ALLOWED}}

    assert readers(0) == {"raw events", "raw events of USPM", "viewer of USPM, raw events"}
    assert readers(1) == {"raw events", "viewer of USPM, raw events"}
    # A row of Dataverse names no company.
    of_dataverse = people["raw events of USPM"].get("/event/tieout.dataverse.changes/0/0")
    assert of_dataverse.status_code == 403
    assert people["raw events"].get("/event/tieout.dataverse.changes/0/0").status_code == 200


def test_a_page_without_access_says_which_role_is_missing(people: dict[str, Person]) -> None:
    page = people["viewer of USPM"].get("/USPM/errors/delete").text
    assert "This needs the role operator in the company USPM." in page
    assert "This needs the role viewer in the company GBPM." in people["viewer of USPM"].get("/GBPM").text
    assert "This needs the role administrator in every company." in people["operator"].get("/operation/checks").text
    assert "This needs the role raw-events." in people["operator"].get("/event/a/0/0").text


def test_a_role_that_is_taken_away_is_gone_with_the_next_start(tmp_path: Path, provider: IdentityProvider) -> None:
    project(settings_in(tmp_path), lines([posted_expense("1", "100.00")]))
    provider.person = {"sub": "1", "preferred_username": "ann", "roles": ["g1"]}
    with served_with_sign_in(settings_in(tmp_path), provider, roles=("g1=viewer",)) as workspace:
        ann = Person(workspace.address)
        assert ann.sign_in("/USPM").status_code == 200
    with served_with_sign_in(settings_in(tmp_path), provider, roles=("g1=viewer:GBPM",)) as workspace:
        ann.address = workspace.address
        assert ann.get("/USPM").status_code == 403


@pytest.mark.parametrize("path", ["", "/expense", "/errors", "/general-journals", "/sync", "/balance?ledger=1"])
def test_who_may_only_read_is_offered_no_action(people: dict[str, Person], path: str) -> None:
    """What an operator is offered is on the same page for a viewer without it."""
    links = r'href="[^"]*(?:/sync/preview|/errors/delete)[^"]*"|method="post" action="(?!/sign-out)[^"]*"'
    offered = {name: re.findall(links, people[name].get(f"/USPM{path}").text) for name in ("viewer", "operator")}
    assert offered["viewer"] == []
    # There are no errors and no journals.
    assert offered["operator"] or path in ("/errors", "/general-journals")
