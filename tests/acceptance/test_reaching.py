"""How the workspace is reached: by which address, by whose proxy, and how that is encrypted."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from engine.errors import SettingError
from tests.support.containers import free_port
from tests.support.entra import Certificate
from tests.support.identity_provider import IdentityProvider, identity_provider
from tests.support.people import Person, served_with_sign_in, with_sign_in
from tests.support.workspace import Served, lines, posted_expense, project, settings_in
from tieout.settings import Settings
from tieout.workspace.server import address, listen, serve_in_background, tls_context

pytestmark = pytest.mark.requirement("R83")

PUBLIC = "https://tieout.contoso.com"
OURS = {"Host": "tieout.contoso.com"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    chosen = settings_in(tmp_path_factory.mktemp("workspace"))
    project(chosen, lines([posted_expense("1", "100.00")]))
    return chosen


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture(scope="module")
def behind(settings: Settings, provider: IdentityProvider) -> Iterator[Served]:
    """A workspace behind a reverse proxy on this machine, and on the network 10.0.0.0/8."""
    proxies = ("127.0.0.1", "10.0.0.0/8")
    with served_with_sign_in(settings, provider, workspace_address=PUBLIC, trusted_proxies=proxies) as workspace:
        yield workspace


# --- addresses -------------------------------------------------------------------------------------------------------


EVERY = "0.0.0.0"  # noqa: S104 - what is tested


@pytest.mark.parametrize("host", [EVERY, "127.0.0.2.example.com", "::", "192.0.2.1", "10.0.0.1", "localhost"])
def test_any_address_but_that_of_this_machine_needs_sign_in(host: str) -> None:
    with pytest.raises(SettingError, match=r"there is no sign-in. Set TIEOUT_ISSUER|is no IP address"):
        listen(0, host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_an_address_of_this_machine_needs_no_sign_in(host: str) -> None:
    with listen(0, host) as listening:
        assert listening.getsockname()[0] == host
        assert host in address(listening)


def test_an_address_that_the_machine_does_not_have_is_named() -> None:
    with pytest.raises(SettingError, match=r"--host 192\.0\.2\.1: this machine does not have that address"):
        listen(0, "192.0.2.1", sign_in=True)


def test_with_sign_in_the_workspace_listens_on_every_address(settings: Settings, provider: IdentityProvider) -> None:
    port = free_port()
    signed = with_sign_in(settings, provider, port)
    with serve_in_background(signed, listen(port, EVERY, sign_in=True)):
        elsewhere = f"http://127.0.0.2:{port}/USPM"
        answer = httpx.get(elsewhere, headers={"Host": f"127.0.0.1:{port}"})
        assert answer.headers["location"] == "/sign-in?then=%2FUSPM"
        for host in (f"127.0.0.2:{port}", "ledger.example.com", "127.0.0.1.example.com", ""):
            assert httpx.get(elsewhere, headers={"Host": host}).status_code == 400


# --- reverse proxies -------------------------------------------------------------------------------------------------


def test_behind_a_proxy_the_address_of_the_settings_counts(behind: Served, provider: IdentityProvider) -> None:
    forwarded = {**OURS, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "tieout.contoso.com"}
    started = httpx.get(f"{behind.address}/sign-in?then=/USPM", headers=forwarded)
    assert "redirect_uri=https%3A%2F%2Ftieout.contoso.com%2Fsign-in%2Fcallback" in started.headers["location"]
    [cookie] = started.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-tieout-sign-in-")
    assert "Secure" in cookie
    assert started.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


def test_a_session_over_a_proxy_has_the_cookie_that_no_other_host_can_set(behind: Served) -> None:
    person = Person(behind.address)
    started = person.get("/sign-in?then=/USPM", **OURS)
    back = person.get(started.headers["location"]).headers["location"]
    with capture_logs() as logged:
        person.get(back.replace(PUBLIC, behind.address), **OURS, X_Forwarded_For="203.0.113.7")
    assert [line["client"] for line in logged if line["event"] == "signed_in"] == ["203.0.113.7"]
    assert list(person.cookies) == ["__Host-tieout-session"]
    assert person.get("/USPM", **OURS).status_code == 200
    form = {"origin": PUBLIC, "sec_fetch_site": "same-origin"}
    assert person.post("/USPM/sync", {"token": ""}, **OURS, **form).status_code == 400
    assert person.post("/USPM/sync", {"token": ""}, **OURS, origin=behind.address).status_code == 403
    # The same value under the name without the prefix, which another host could set, is no session.
    person.cookies = {"tieout-session": person.cookies["__Host-tieout-session"]}
    assert person.get("/USPM", **OURS).status_code == 303


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Forwarded-Proto": "http"}, 400),
        ({"X-Forwarded-Proto": "https,http"}, 400),
        ({"X-Forwarded-Host": "evil.example.com"}, 400),
        ({"X-Forwarded-For": "somebody"}, 400),
        ({"X-Forwarded-For": "evil, 203.0.113.7"}, 303),
        ({"X-Forwarded-For": "203.0.113.7:51022"}, 303),
        ({"X-Forwarded-For": "[2001:db8::7]:51022"}, 303),
        ({"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}, 303),
    ],
)
def test_a_proxy_must_forward_valid_headers(behind: Served, headers: dict[str, str], status: int) -> None:
    assert httpx.get(f"{behind.address}/USPM", headers={**OURS, **headers}).status_code == status


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("10.1.2.3, 10.1.2.4", "10.1.2.3"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(behind: Served, chain: str, client: str) -> None:
    """What stands before it, anybody can write."""
    with capture_logs() as logged:
        httpx.get(f"{behind.address}/sign-in/callback", headers={**OURS, "X-Forwarded-For": chain})
    assert [line["client"] for line in logged] == [client]


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded", "X-Real-IP"],
)
def test_forwarded_headers_of_anybody_else_are_refused(
    settings: Settings, provider: IdentityProvider, name: str
) -> None:
    with served_with_sign_in(settings, provider) as workspace:
        answer = httpx.get(f"{workspace.address}/USPM", headers={name: "127.0.0.1"})
    assert (answer.status_code, "TIEOUT_TRUSTED_PROXIES" in answer.text) == (400, True)


def test_a_workspace_behind_a_proxy_is_reached_over_the_proxy_only(
    settings: Settings, provider: IdentityProvider
) -> None:
    changes = {"workspace_address": PUBLIC, "trusted_proxies": ("192.0.2.1",)}
    with served_with_sign_in(settings, provider, **changes) as workspace:
        answer = httpx.get(f"{workspace.address}/USPM", headers=OURS)
        assert (answer.status_code, "by its reverse proxy only" in answer.text) == (400, True)
        # The health check of a container comes from this machine.
        assert httpx.get(f"{workspace.address}/health").text == "ok"


def test_further_host_names_are_a_setting(settings: Settings, provider: IdentityProvider) -> None:
    changes = {"trusted_hosts": ("Tieout.Internal",)}
    with served_with_sign_in(settings, provider, **changes) as workspace:
        answer = httpx.get(f"{workspace.address}/sign-in", headers={"Host": "tieout.internal:8080"})
        # Signing in begins at the address of the settings, where the cookie is valid.
        assert answer.headers["location"].startswith(f"{workspace.address}/sign-in?")
        assert httpx.get(workspace.address, headers={"Host": "tieout.example.com"}).status_code == 400


# --- an own certificate ----------------------------------------------------------------------------------------------


def test_the_workspace_has_its_own_certificate(settings: Settings, provider: IdentityProvider, tmp_path: Path) -> None:
    certificate = Certificate()
    file = str(certificate.written(tmp_path / "server.pem"))
    port = free_port()
    own = f"https://127.0.0.1:{port}"
    signed = with_sign_in(settings, provider, port, workspace_address=own, tls_certificate=file)
    trust = ssl.create_default_context(cadata=certificate.pem)
    with serve_in_background(signed, listen(port)):
        answer = httpx.get(f"{own}/sign-in?then=/USPM", verify=trust)
        assert answer.status_code == 303
        assert answer.headers["set-cookie"].startswith("__Host-")
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/health")
        old = ssl.create_default_context(cadata=certificate.pem)
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{own}/health", verify=old)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_certificate_that_cannot_be_used_is_named_before_anything_starts(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "server.pem"
    if content is not None:
        file.write_text(content, encoding="ascii")
    with pytest.raises(SettingError, match=r"TIEOUT_TLS_CERTIFICATE: .*server\.pem"):
        tls_context(Settings(tls_certificate=str(file)))


def test_without_sign_in_nothing_is_sent_about_encryption_and_the_user_of_this_machine_acts(settings: Settings) -> None:
    with listen(0) as listening, serve_in_background(settings, listening):
        page = httpx.get(f"{address(listening)}USPM")
        assert page.status_code == 200
        assert "strict-transport-security" not in page.headers
        assert "set-cookie" not in page.headers
        assert "Sign out" not in page.text
        for path in ("sign-in", "sign-in/callback?code=a&state=b"):
            assert httpx.get(f"{address(listening)}{path}").headers["location"] == "/"
