"""Sign-in by OpenID Connect: only a valid response of the identity provider begins a session, which ends for good."""

import hmac
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from joserfc.jwk import RSAKey
from sqlalchemy import select, update
from structlog.testing import capture_logs

from store.operational.sessions import MINUTE
from store.schema import tables
from store.schema.database import connect
from tests.support.identity_provider import SECRET, Change, IdentityProvider, identity_provider, query_of
from tests.support.people import Person, served_with_sign_in
from tests.support.workspace import Served, lines, posted_expense, project, settings_in

pytestmark = pytest.mark.requirement("R83")

DEEP = "/USPM/expense?view=all&f.amount=%3E50"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log and a store that have one document."""
    folder = tmp_path_factory.mktemp("workspace")
    project(settings_in(folder), lines([posted_expense("1", "100.00")]))
    return folder


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture
def served(store: Path, provider: IdentityProvider) -> Iterator[Served]:
    with served_with_sign_in(settings_in(store), provider) as workspace:
        yield workspace


@pytest.fixture
def ann(served: Served) -> Iterator[Person]:
    person = Person(served.address)
    yield person
    person.close()


def is_signed_in(person: Person) -> bool:
    return person.get("/USPM").status_code == 200


# --- what works ------------------------------------------------------------------------------------------------------


def test_an_address_that_somebody_was_sent_opens_after_sign_in(ann: Person) -> None:
    page = ann.sign_in(DEEP)
    assert (page.status_code, str(page.url)) == (200, f"{ann.address}{DEEP}")
    assert "ann@contoso.com" in page.text
    assert "Sign out" in page.text


def test_the_code_is_bound_to_the_browser_by_state_nonce_and_pkce(ann: Person, provider: IdentityProvider) -> None:
    ann.sign_in()
    asked, redeemed = (dict(form) for path, form in provider.requests if path.endswith(("/authorize", "/token")))
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == redeemed["redirect_uri"] == f"{ann.address}/sign-in/callback"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"], redeemed["code_verifier"]}) == 4
    assert min(map(len, (asked["state"], asked["nonce"], redeemed["code_verifier"]))) >= 43
    assert SECRET not in str(asked)


def test_cookies_cannot_be_read_by_scripts_or_sent_from_other_sites(ann: Person) -> None:
    started = ann.get(ann.get(DEEP).headers["location"])
    returned = ann.get(ann.get(started.headers["location"]).headers["location"])
    for response in (started, returned):
        for cookie in response.headers.get_list("set-cookie"):
            parts = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert {"httponly", "secure", "samesite=lax", "path=/"} <= parts
            assert not any(part.startswith("domain") for part in parts)


def test_several_tabs_sign_in_at_once(ann: Person) -> None:
    starts = [ann.get(f"/sign-in?then={quote(path)}") for path in ("/USPM", "/USPM/errors", "/operation")]
    backs = [ann.get(start.headers["location"]).headers["location"] for start in starts]
    assert [ann.get(back).headers["location"] for back in backs] == ["/USPM", "/USPM/errors", "/operation"]
    assert is_signed_in(ann)


def test_a_new_key_of_the_provider_is_read_when_it_is_first_used(
    ann: Person, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tieout.access.provider.KEYS_SECONDS", 0.0)
    ann.sign_in()
    provider.rotate()
    ann.cookies.clear()
    assert ann.sign_in(DEEP).status_code == 200
    assert provider.paths().count("/keys") == 2


def test_a_public_client_without_a_secret_proves_itself_by_pkce(store: Path, provider: IdentityProvider) -> None:
    provider.public = True
    with served_with_sign_in(settings_in(store), provider, sign_in_secret=None) as workspace:
        assert Person(workspace.address).sign_in("/USPM").status_code == 200
    form = next(form for path, form in provider.requests if path.endswith("/token"))
    assert form["client_id"] == "tieout"
    assert "client_secret" not in form


# --- what is refused -------------------------------------------------------------------------------------------------


def claims(**changes: object) -> Change:
    return lambda provider: provider.claims.update(changes)


def signed_by(key: RSAKey, **headers: object) -> Change:
    def change(provider: IdentityProvider) -> None:
        provider.signing = key
        provider.headers = dict(headers)

    return change


def public_key_as_secret(provider: IdentityProvider) -> None:
    """Sign with the public key as a shared secret, which anybody can."""
    provider.headers = {"alg": "HS256"}
    provider.sign = lambda text: hmac.digest(provider.keys[0].as_pem(private=False), text, "sha256")


def unsigned(provider: IdentityProvider) -> None:
    provider.headers = {"alg": "none"}
    provider.sign = lambda text: b""


def token_reply(status: int, body: bytes) -> Change:
    reply = (status, {"Content-Type": "application/json"}, body)
    return lambda provider: provider.replies.update({"/token": reply})


REFUSED = {
    "expired": (claims(exp=int(time.time()) - 120), 400, "has expired", "expired"),
    "issued in the future": (claims(iat=int(time.time()) + 86_400), 400, "its clock and that of", "not-yet-valid"),
    "not yet valid": (claims(nbf=int(time.time()) + 86_400), 400, "its clock and that of", "not-yet-valid"),
    "another audience": (claims(aud="other"), 400, "for another application", "wrong-audience"),
    "several audiences": (claims(aud=["tieout", "other"]), 400, "for another application", "wrong-audience"),
    "another party": (claims(azp="other"), 400, "for another application", "wrong-audience"),
    "no audience": (claims(aud=None), 400, "for another application", "wrong-audience"),
    "another issuer": (claims(iss="https://login.example.com"), 400, "another identity provider", "wrong-issuer"),
    "no issuer": (claims(iss=None), 400, "another identity provider", "wrong-issuer"),
    "no nonce": (claims(nonce=None), 400, "does not belong to this sign-in", "wrong-nonce"),
    "another nonce": (claims(nonce="n"), 400, "does not belong to this sign-in", "wrong-nonce"),
    "no expiry": (claims(exp=None), 400, "has expired", "expired"),
    "expiry never": (claims(exp="never"), 400, "has expired", "expired"),
    "no subject": (claims(sub=None), 400, "does not belong to this sign-in", "invalid-token"),
    "another key": (signed_by(RSAKey.generate_key(2048)), 400, "signature", "bad-signature"),
    "a shared secret": (public_key_as_secret, 400, "signature", "bad-signature"),
    "no signature": (unsigned, 400, "signature", "bad-signature"),
    "unknown key": (signed_by(RSAKey.generate_key(2048), kid="other"), 400, "signature", "bad-signature"),
    "an unknown role": (claims(roles=["boss"]), 403, "The account ann@contoso.com has no role", "no-role"),
    "no role": (claims(roles=None), 403, "The account ann@contoso.com has no role", "no-role"),
    "no name": (claims(preferred_username=None), 403, "no usable name", "no-name"),
    "a name of this machine": (claims(preferred_username="root@host (LOCAL)"), 403, "no usable name", "no-name"),
    "the name of a worker": (claims(preferred_username="Recurring job"), 403, "no usable name", "no-name"),
    "a name in two lines": (claims(preferred_username="ann\nbob"), 403, "no usable name", "no-name"),
    "no token": (token_reply(200, b'{"access_token": "a", "token_type": "Bearer"}'), 400, "belong", "invalid-token"),
    "no JWT": (token_reply(200, b'{"id_token": "a.b.c"}'), 400, "does not belong to this sign-in", "invalid-token"),
    "an unusable code": (token_reply(400, b'{"error": "invalid_grant"}'), 400, "used already", "used-already"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_response_that_is_not_valid_begins_no_session(
    ann: Person, served: Served, provider: IdentityProvider, case: str
) -> None:
    change, status, words, reason = REFUSED[case]
    change(provider)
    with capture_logs() as logged:
        page = ann.sign_in(DEEP)
    assert (page.status_code, words in page.text) == (status, True), page.text
    assert f'href="/sign-in?then={quote(DEEP, safe="")}"' in page.text
    assert [line["reason"] for line in logged if line["event"] == "sign_in_refused"] == [reason]
    assert SECRET not in str(logged)
    assert not is_signed_in(ann)
    assert ann.cookies == {}


def test_clocks_may_differ_by_a_minute(ann: Person, provider: IdentityProvider) -> None:
    now = int(time.time())
    provider.claims = {"iat": now + 45, "nbf": now + 45, "exp": now + 300}
    assert ann.sign_in().status_code == 200
    ann.cookies.clear()
    provider.claims = {"iat": now - 300, "exp": now - 45}
    assert ann.sign_in().status_code == 200


def test_a_role_that_a_table_gives_to_a_group_is_enough(store: Path, provider: IdentityProvider) -> None:
    provider.person = {"sub": "1", "preferred_username": "ann", "groups": ["0f1c"]}
    table = ("0f1c=viewer:USPM", "other=administrator")
    with served_with_sign_in(settings_in(store), provider, roles_claim="groups", roles=table) as workspace:
        assert Person(workspace.address).sign_in("/USPM").status_code == 200


# --- replay and forgery ----------------------------------------------------------------------------------------------


def returned(person: Person, path: str = "/USPM") -> str:
    """Sign in at the provider; return the address to which it returns."""
    started = person.get(person.get(path).headers["location"])
    return str(person.get(started.headers["location"]).headers["location"])


def test_a_response_is_accepted_once(ann: Person, provider: IdentityProvider) -> None:
    address = returned(ann)
    kept = dict(ann.cookies)
    assert ann.get(address).status_code == 303
    again = ann.get(address)
    assert (again.status_code, "was used already" in again.text) == (400, True)
    # Not even with the cookie of the sign-in, if the provider accepts the code a second time.
    provider.accept_codes_again = True
    ann.cookies = kept
    with capture_logs() as logged:
        assert ann.get(address).status_code == 400
    assert [line["reason"] for line in logged if line["event"] == "sign_in_refused"] == ["used-already"]


def test_a_replayed_token_begins_no_second_session(ann: Person, provider: IdentityProvider) -> None:
    provider.accept_codes_again = True
    address = returned(ann)
    kept = dict(ann.cookies)
    assert ann.get(address).status_code == 303
    ann.post("/sign-out")
    ann.cookies = kept
    assert "was used already" in ann.get(address).text
    assert not is_signed_in(ann)


def test_a_response_is_accepted_from_the_browser_that_began_the_sign_in_only(ann: Person, served: Served) -> None:
    other = Person(served.address)
    page = other.get(returned(ann))
    assert (page.status_code, "has expired or was used already" in page.text) == (400, True)
    assert not is_signed_in(other)
    # Nor is one accepted for another sign-in of the same browser.
    state = query_of(returned(other))["state"]
    code = query_of(returned(ann))["code"]
    assert ann.get(f"/sign-in/callback?code={code}&state={state}").status_code == 400


def test_the_code_of_another_sign_in_is_of_no_use(ann: Person, served: Served) -> None:
    """As when somebody puts his own code into the address of another person."""
    other = Person(served.address)
    stolen = query_of(returned(other))["code"]
    state = query_of(returned(ann))["state"]
    assert ann.get(f"/sign-in/callback?code={stolen}&state={state}").status_code == 400
    assert not is_signed_in(ann)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("error=access_denied&state={state}", "refused"),
        ("code={code}&state={state}&iss=https://login.example.com", "wrong-issuer"),
        ("state={state}", "refused"),
        ("code={code}", "unknown-state"),
        ("code={code}&state=", "unknown-state"),
        ("code={code}&state={state}x", "unknown-state"),
        ("", "unknown-state"),
    ],
)
def test_an_incomplete_response_is_refused_with_its_reason(ann: Person, query: str, reason: str) -> None:
    given = query_of(returned(ann))
    with capture_logs() as logged:
        page = ann.get("/sign-in/callback?" + query.format(code=given["code"], state=given["state"]))
    assert page.status_code in (400, 403)
    assert [line["reason"] for line in logged] == [reason]
    assert not is_signed_in(ann)


def test_a_provider_that_names_itself_in_each_response_must_do_so(ann: Person, provider: IdentityProvider) -> None:
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    address = returned(ann).partition("&iss=")[0]
    assert "another identity provider" in ann.get(address).text


def test_a_browser_gets_a_new_session_at_sign_in_and_keeps_none_that_somebody_gave_it(ann: Person) -> None:
    ann.cookies["tieout-session"] = "A" * 43
    ann.sign_in()
    given = ann.cookies["tieout-session"]
    assert given != "A" * 43
    # A second sign-in ends the first session.
    ann.get(returned_again(ann))
    assert ann.cookies["tieout-session"] != given
    ann.cookies["tieout-session"] = given
    assert not is_signed_in(ann)


def returned_again(person: Person) -> str:
    """Begin a sign-in in a tab that does not know the session; return the address of its response."""
    session = person.cookies.pop("tieout-session")
    address = returned(person)
    person.cookies["tieout-session"] = session
    return address


# --- the provider is away --------------------------------------------------------------------------------------------


def away(provider: IdentityProvider) -> None:
    provider.replies["/.well-known/openid-configuration"] = (503, {}, b"maintenance")


@pytest.mark.parametrize(
    "change",
    [
        away,
        lambda provider: provider.metadata.update(issuer="https://login.example.com"),
        lambda provider: provider.metadata.update(token_endpoint="http://login.example.com/token"),
        lambda provider: provider.metadata.update(jwks_uri=None),
        lambda provider: provider.replies.update({"/keys": (200, {}, b"[]")}),
        lambda provider: provider.replies.update({"/keys": (500, {}, b"")}),
        lambda provider: provider.replies.update({"/.well-known/openid-configuration": (200, {}, b"<html>")}),
        token_reply(500, b"{}"),
        token_reply(200, b"[]"),
        token_reply(200, b"<html>"),
        token_reply(401, b'{"error": "invalid_client", "error_description": "s3cret-of-the-workspace"}'),
        token_reply(400, b'{"error": ["a"]}'),
    ],
)
def test_a_provider_that_does_not_respond_is_a_clear_page(
    ann: Person, provider: IdentityProvider, change: Change
) -> None:
    change(provider)
    with capture_logs() as logged:
        page = ann.sign_in(DEEP)
    assert (page.status_code, "Sign-in unavailable" in page.text) == (503, True)
    assert f'href="/sign-in?then={quote(DEEP, safe="")}"' in page.text
    assert "Traceback" not in page.text
    assert any(line["event"] == "sign_in_unavailable" for line in logged)
    assert SECRET not in str(logged)
    # Once it responds again, the link on the page is enough.
    provider.replies.clear()
    provider.metadata.clear()


def test_people_who_are_signed_in_work_on_while_the_provider_is_away(store: Path) -> None:
    with identity_provider() as provider, served_with_sign_in(settings_in(store), provider) as workspace:
        ann, bob = Person(workspace.address), Person(workspace.address)
        ann.sign_in()
        provider.replies["/token"] = (503, {}, b"")
        away(provider)
        assert is_signed_in(ann)
        assert bob.sign_in().status_code == 503
    # Now nothing listens there at all.
    with served_with_sign_in(settings_in(store), provider) as workspace:
        page = Person(workspace.address).sign_in(DEEP)
        assert (page.status_code, "Sign-in unavailable" in page.text) == (503, True)


def test_people_who_are_signed_in_do_not_wait_for_a_provider_that_hangs(
    ann: Person, served: Served, provider: IdentityProvider
) -> None:
    with served_with_sign_in(served.settings, provider) as workspace:
        ann.sign_in()
        ann.address = workspace.address
        # The metadata is not known to this workspace yet, so each sign-in waits for the provider.
        provider.delay_seconds = 2.0
        with ThreadPoolExecutor(30) as others:
            waiting = [others.submit(Person(workspace.address).get, "/sign-in?then=/USPM") for _ in range(30)]
            began = time.monotonic()
            assert is_signed_in(ann)
            assert time.monotonic() - began < 1.5
            provider.delay_seconds = 0.0
            assert {future.result().status_code for future in waiting} == {303}


# --- sessions --------------------------------------------------------------------------------------------------------


def aged(served: Served, **values: int) -> None:
    """Change the times of all sessions."""
    engine = connect(served.settings.store, write=True)
    with engine.begin() as connection:
        connection.execute(update(tables.sessions).values(**values))
    engine.dispose()


def now() -> int:
    return time.time_ns() // 1_000


def test_a_session_ends_after_an_hour_without_requests(ann: Person, served: Served) -> None:
    ann.sign_in()
    aged(served, seen=now() - 59 * MINUTE)
    assert is_signed_in(ann)
    aged(served, seen=now() - 60 * MINUTE)
    assert not is_signed_in(ann)
    assert ann.sign_in(DEEP).status_code == 200


def test_a_session_ends_after_twelve_hours_in_any_case(ann: Person, served: Served) -> None:
    ann.sign_in()
    engine = connect(served.settings.store)
    with engine.connect() as connection:
        row = connection.execute(select(tables.sessions).order_by(tables.sessions.c.began.desc())).first()
    engine.dispose()
    assert row is not None
    assert row.ends - row.began == 12 * 60 * MINUTE
    aged(served, ends=now() - 1)
    assert not is_signed_in(ann)


def test_a_request_is_noted_so_that_a_session_in_use_goes_on(ann: Person, served: Served) -> None:
    ann.sign_in()
    aged(served, seen=now() - 30 * MINUTE)
    assert is_signed_in(ann)
    engine = connect(served.settings.store)
    until = time.monotonic() + 10
    seen = 0
    while seen < now() - MINUTE and time.monotonic() < until:
        with engine.connect() as connection:
            seen = int(connection.execute(select(tables.sessions.c.seen)).scalars().all()[-1])
    engine.dispose()
    assert seen > now() - MINUTE


def test_signing_out_ends_the_session_here_and_at_the_provider(ann: Person, provider: IdentityProvider) -> None:
    ann.sign_in()
    token = ann.cookies["tieout-session"]
    page = ann.post("/sign-out")
    assert "You are signed out" in page.text
    assert ann.cookies == {}
    assert page.headers["clear-site-data"] == '"cache"'
    onward = page.text.partition('content="0; url=')[2].partition('"')[0].replace("&amp;", "&")
    assert onward.startswith(f"{provider.issuer}/logout?")
    assert query_of(onward)["post_logout_redirect_uri"] == f"{ann.address}/signed-out"
    assert query_of(onward)["id_token_hint"].count(".") == 2
    assert "You are signed out" in ann.follow(ann.get(onward)).text
    # A copy of the cookie is of no use.
    ann.cookies["tieout-session"] = token
    assert not is_signed_in(ann)
    assert ann.post("/sign-out").headers["location"] == "/signed-out"


def test_signing_out_works_with_a_provider_that_has_no_sign_out(ann: Person, provider: IdentityProvider) -> None:
    provider.metadata = {"end_session_endpoint": None}
    ann.sign_in()
    assert ann.post("/sign-out").headers["location"] == "/signed-out"
    assert not is_signed_in(ann)


def test_another_site_cannot_sign_anybody_out_or_send_a_form(ann: Person) -> None:
    ann.sign_in()
    for headers in (
        {"origin": "https://evil.example.com", "sec_fetch_site": "cross-site"},
        {"origin": "https://evil.example.com", "sec_fetch_site": "same-origin"},
        {"origin": "null", "sec_fetch_site": "same-origin"},
        {"origin": "http://127.0.0.1:1", "sec_fetch_site": "same-site"},
    ):
        for path in ("/sign-out", "/USPM/sync", "/USPM/errors/delete"):
            assert ann.post(path, {"why": "x"}, **headers).status_code == 403
    bare = {"cookie": f"tieout-session={ann.cookies['tieout-session']}"}
    assert httpx.post(f"{ann.address}/sign-out", headers=bare).status_code == 403
    assert is_signed_in(ann)


@pytest.mark.parametrize("path", ["/sign-out", "/USPM/sync"])
def test_a_get_request_changes_nothing(ann: Person, path: str) -> None:
    ann.sign_in()
    ann.get(path)
    assert is_signed_in(ann)


def test_a_form_without_a_session_changes_nothing_and_says_so(ann: Person) -> None:
    page = ann.post("/USPM/errors/delete", {"why": "x"})
    assert (page.status_code, "nothing was changed" in page.text) == (401, True)


def test_a_script_learns_that_the_session_has_ended(ann: Person) -> None:
    page = ann.get("/USPM", sec_fetch_dest="empty")
    assert (page.status_code, "sign in again" in page.text) == (401, True)


def test_pages_of_a_workspace_with_sign_in_are_kept_in_no_cache(ann: Person) -> None:
    assert ann.sign_in(DEEP).headers["cache-control"] == "no-store"


def test_another_name_of_this_machine_is_led_to_the_address_of_the_settings(ann: Person, served: Served) -> None:
    port = served.address.rpartition(":")[2]
    answer = httpx.get(f"http://localhost:{port}/sign-in?then=/USPM")
    assert answer.headers["location"] == f"{served.address}/sign-in?then=%2FUSPM"
