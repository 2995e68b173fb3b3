"""Tokens of Entra ID by secret, certificate and managed identity, against a sign-in service on this machine."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from engine.errors import SettingError
from handlers.api.bounded_exchange import client
from handlers.api.connection import Connection
from handlers.api.tokens import Application, EntraTokens, ManagedIdentity
from handlers.errors import Configuration, TargetError, Throttled, Transient
from tests.support.entra import CLIENT_ID, IDENTITY_HEADER, SECRET, TENANT, Certificate, Entra, signing_in
from tests.support.http_service import Reply
from tieout.settings import load
from tieout.sync.connectors import open_connectors

ORG = "https://org.crm4.dynamics.com"


@pytest.fixture(scope="module")
def machine() -> Certificate:
    """The certificate of the sign-in service."""
    return Certificate()


@pytest.fixture(scope="module")
def application() -> Certificate:
    """The certificate of the application."""
    return Certificate()


@pytest.fixture
def entra(machine: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Entra]:
    """A sign-in service that this process trusts."""
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(machine.pem, encoding="ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with signing_in(machine, tmp_path) as entra:
        yield entra


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Entra]:
    """The endpoint of a managed identity, as App Service names it in the environment."""
    with signing_in() as entra:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{entra.address}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        # Nothing of it goes through a proxy.
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        yield entra


def by_secret(entra: Entra, secret: str = SECRET, client_id: str = CLIENT_ID, tenant: str = TENANT) -> EntraTokens:
    return EntraTokens(client(), Application(entra.address, tenant, client_id, secret), ORG)


def by_certificate(entra: Entra, path: Path) -> EntraTokens:
    return EntraTokens(client(), Application(entra.address, TENANT, CLIENT_ID, certificate=path), ORG)


# --- a secret ---------------------------------------------------------------------------------------------------------


def test_a_secret_gets_a_token_that_is_kept_and_asks_nobody_else(entra: Entra) -> None:
    tokens = by_secret(entra)
    assert tokens.token() == tokens.token() == "token-1"
    (form,) = entra.forms
    wanted = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": SECRET}
    assert {name: form.get(name) for name in wanted} == wanted
    assert form["scope"] == f"{ORG}/.default"
    assert entra.asked == [f"/{TENANT}/v2.0/.well-known/openid-configuration", f"/{TENANT}/oauth2/v2.0/token"]


def test_a_token_that_was_refused_is_not_given_again(entra: Entra) -> None:
    tokens = by_secret(entra)
    tokens.refused(tokens.token())
    assert tokens.token() == "token-2"


def test_a_token_that_is_about_to_expire_is_renewed(entra: Entra) -> None:
    short = {"token_type": "Bearer", "expires_in": 299, "access_token": "short"}
    entra.replies["/token"] = (200, {}, msgspec.json.encode(short))
    tokens = by_secret(entra)
    assert tokens.token() == "short"
    entra.replies.clear()
    assert tokens.token() == "token-1"


# --- a certificate ----------------------------------------------------------------------------------------------------


def test_a_certificate_proves_the_application(entra: Entra, application: Certificate, tmp_path: Path) -> None:
    entra.known = application
    assert by_certificate(entra, application.written(tmp_path / "application.pem")).token() == "token-1"
    assert "client_secret" not in entra.forms[0]


def test_a_certificate_that_is_not_registered_is_named(
    entra: Entra, application: Certificate, machine: Certificate, tmp_path: Path
) -> None:
    entra.known = machine
    with pytest.raises(Configuration, match="TIEOUT_CLIENT_CERTIFICATE"):
        by_certificate(entra, application.written(tmp_path / "application.pem")).token()


def _encrypted(certificate: Certificate) -> str:
    how = BestAvailableEncryption(b"password")
    return certificate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode() + certificate.pem


def _elliptic(certificate: Certificate) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode() + certificate.pem


def _damaged(certificate: Certificate) -> str:
    return certificate.key_pem.replace("M", "N") + certificate.pem


FILES: list[tuple[str, Callable[[Certificate], str], str]] = [
    ("no key", lambda certificate: certificate.pem, "not a PEM file"),
    ("no certificate", lambda certificate: certificate.key_pem, "not a PEM file"),
    ("not PEM", lambda certificate: "\x00\x01é", "not a PEM file"),
    ("encrypted", _encrypted, "encrypted"),
    ("damaged", _damaged, "damaged"),
    ("another's key", lambda certificate: Certificate().key_pem + certificate.pem, "belong together"),
    ("not RSA", _elliptic, "belong together"),
]


@pytest.mark.parametrize(("text", "says"), [file[1:] for file in FILES], ids=[file[0] for file in FILES])
def test_a_certificate_file_that_is_none_is_named_without_its_content(
    entra: Entra, application: Certificate, tmp_path: Path, text: Callable[[Certificate], str], says: str
) -> None:
    path = tmp_path / "application.pem"
    path.write_text(text(application), encoding="utf-8")
    with pytest.raises(Configuration, match=says) as raised:
        by_certificate(entra, path).token()
    assert str(path) in str(raised.value)
    assert "BEGIN" not in str(raised.value)
    assert entra.forms == []


def test_a_certificate_file_that_is_not_there_is_named(entra: Entra, tmp_path: Path) -> None:
    with pytest.raises(Configuration, match=r"nowhere\.pem \(TIEOUT_CLIENT_CERTIFICATE\) cannot be read"):
        by_certificate(entra, tmp_path / "nowhere.pem").token()
    with pytest.raises(Configuration, match=r"the file \(TIEOUT_CLIENT_CERTIFICATE\) cannot be read") as named:
        by_certificate(entra, Path("Abc8Q~s3cretS3cret")).token()
    assert "s3cret" not in str(named.value)


# --- a managed identity -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "asked"), [("system", None), (CLIENT_ID, CLIENT_ID)])
def test_a_managed_identity_gets_a_token_from_the_machine(identity: Entra, written: str, asked: str | None) -> None:
    settings = load({"TIEOUT_DATAVERSE": ORG, "TIEOUT_FINANCE": ORG, "TIEOUT_MANAGED_IDENTITY": written})
    with open_connectors(settings) as connectors:
        tokens = connectors.dataverse.connection._tokens
        assert tokens is not None
        assert tokens.token() == tokens.token() == "token-1"
    (query,) = identity.forms
    assert (query["resource"], query.get("client_id")) == (ORG, asked)


def test_a_machine_without_an_identity_says_so(identity: Entra) -> None:
    identity.replies["/token"] = (400, {}, b'{"error": "invalid_request", "error_description": "Identity not found"}')
    with pytest.raises(Configuration, match="TIEOUT_MANAGED_IDENTITY"):
        EntraTokens(client(trust_env=False), ManagedIdentity(), ORG).token()


def test_a_virtual_machine_is_asked_at_its_metadata_endpoint(identity: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", identity.address)
    token = {"access_token": "of the machine", "expires_in": "3600", "resource": ORG}
    identity.replies["/metadata/identity/oauth2/token"] = (200, {}, msgspec.json.encode(token | {"access_token": "t"}))
    assert EntraTokens(client(trust_env=False), ManagedIdentity(), ORG).token() == "t"


# --- what goes wrong --------------------------------------------------------------------------------------------------

HTML = {"Content-Type": "text/html"}
TOKEN, CONFIGURATION = "/token", "/openid-configuration"

ANSWERS: list[tuple[str, str, Reply, type[TargetError], str]] = [
    ("a bad request", TOKEN, (400, {}, b'{"error": "invalid_request"}'), Configuration, "TIEOUT_TENANT"),
    ("a page for people", TOKEN, (200, HTML, b"<html>"), Configuration, "web page"),
    ("no such page", TOKEN, (404, HTML, b"<html>"), Configuration, "TIEOUT_TENANT"),
    ("throttled", TOKEN, (429, {"Retry-After": "7"}, b""), Throttled, "429"),
    ("unavailable", TOKEN, (503, {}, b""), Transient, "503"),
    ("no token", TOKEN, (200, {}, b'{"token": "?"}'), Configuration, "no token"),
    ("cut", TOKEN, (200, {}, b'{"token'), Transient, "not a complete JSON"),
    ("a list", TOKEN, (200, {}, b"[]"), Transient, "not a complete JSON"),
    ("a token that is a number", TOKEN, (200, {}, b'{"access_token": 1, "expires_in": 3600}'), Configuration, "no "),
    (
        "a token with a new line",
        TOKEN,
        (200, {}, b'{"access_token": "a\\r\\nb", "expires_in": 3600}'),
        Configuration,
        "no token",
    ),
    (
        "a lifetime that is text",
        TOKEN,
        (200, {}, b'{"access_token": "a", "expires_in": "soon"}'),
        Configuration,
        "not that of a sign-in service",
    ),
    (
        "a lifetime without end",
        TOKEN,
        (200, {}, b'{"access_token": "a", "expires_in": 1e999}'),
        TargetError,
        "sign-in",
    ),
    ("nothing of a directory", CONFIGURATION, (200, {}, b"{}"), Configuration, "not that of a sign-in service"),
    (
        "a token endpoint without TLS",
        CONFIGURATION,
        (200, {}, b'{"authorization_endpoint": "a", "token_endpoint": "http://example.com/t/oauth2/v2.0/token"}'),
        Configuration,
        "not that of a sign-in service",
    ),
    (
        "a token endpoint that is a number",
        CONFIGURATION,
        (200, {}, b'{"authorization_endpoint": 1, "token_endpoint": 1}'),
        Configuration,
        "not that of a sign-in service",
    ),
]


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(
    ("path", "reply", "kind", "says"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS]
)
def test_a_sign_in_that_fails_is_classified(
    entra: Entra, path: str, reply: Reply, kind: type[TargetError], says: str
) -> None:
    entra.replies[path] = reply
    with pytest.raises(kind, match=says) as raised:
        by_secret(entra).token()
    assert SECRET not in f"{raised.value!r}"


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"secret": "not-it"}, "TIEOUT_CLIENT_SECRET"),
        ({"client_id": "somebody"}, "TIEOUT_CLIENT_ID"),
        ({"tenant": "elsewhere"}, "TIEOUT_TENANT"),
    ],
)
def test_a_refused_sign_in_names_the_setting(entra: Entra, changed: dict[str, str], says: str) -> None:
    with pytest.raises(Configuration, match=says):
        by_secret(entra, **changed).token()


def test_a_sign_in_service_that_nobody_vouches_for_gets_no_secret(
    machine: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with signing_in(machine, tmp_path) as entra:
        with pytest.raises(Configuration, match=r"certificate of 127\.0\.0\.1 is not trusted"):
            by_secret(entra).token()
        assert entra.asked == []


def test_a_secret_that_an_answer_repeats_is_hidden(entra: Entra) -> None:
    """Echo the request, as a proxy does, or an attacker who wants a secret in a log."""
    tokens = by_secret(entra, "s3cret+with/signs")
    for echoed in ("client_secret=s3cret%2Bwith%2Fsigns&scope=x", "s3cret+with/signs"):
        entra.replies["/token"] = (401, {}, f'{{"error": "invalid_client", "error_description": "{echoed}"}}'.encode())
        with pytest.raises(Configuration) as refused:
            tokens.token()
        assert "***" in str(refused.value)
        assert "s3cret" not in f"{refused.value!r}"
    token = "eyJhbGciOiJSUzI1NiJ9.a-token"
    entra.replies["/token"] = (200, {}, f'{{"access_token": "{token}", "token_type": "Bearer"}}'.encode())
    assert by_secret(entra).token() == token
    told = Transient(f"GET accounts: 500. You sent Authorization: Bearer {token}")
    assert token not in str(told)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "HTTPS_PROXY", "ALL_PROXY"])
def test_what_the_environment_says_wrongly_of_connections_is_named_without_a_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    broken = tmp_path / "no.pem"
    broken.write_text("no certificate", encoding="utf-8")
    values = {
        "SSL_CERT_FILE": str(broken),
        "HTTPS_PROXY": "http://u:hunter2@host:port",
        "ALL_PROXY": "socks5://u:hunter2@h:1",
    }
    monkeypatch.setenv(variable, values[variable])
    with pytest.raises(Configuration, match=variable) as named:
        client()
    assert "hunter2" not in str(named.value)


def test_no_secret_is_in_errors_or_in_the_log(
    entra: Entra, application: Certificate, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    entra.replies["/accounts"] = (401, {}, b"{}")
    entra.known = application
    certified = by_certificate(entra, application.written(tmp_path / "application.pem"))
    shown = []
    for tokens in (by_secret(entra), certified):
        api = Connection(client(), f"{entra.address}/api", tokens)
        with pytest.raises(Configuration) as raised:
            api.get("accounts")
        shown.append(f"{raised.value!r}{tokens!r}{api!r}")
    entra.replies["/token"] = (401, {}, b'{"error": "invalid_client"}')
    with pytest.raises(Configuration) as refused:
        by_secret(entra).token()
    captured = capfd.readouterr()
    everything = f"{shown}{refused.value!r}{captured.out}{captured.err}"
    assert "call_answered" in everything
    for secret in (SECRET, "token-1", "PRIVATE KEY", application.key_pem.splitlines()[1]):
        assert secret not in everything


# --- settings ---------------------------------------------------------------------------------------------------------

ADDRESSES = {"TIEOUT_FINANCE": "https://contoso.operations.dynamics.com", "TIEOUT_DATAVERSE": ORG}
APPLICATION = {"TIEOUT_TENANT": TENANT, "TIEOUT_CLIENT_ID": CLIENT_ID}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "set one of TIEOUT_CLIENT_SECRET, TIEOUT_CLIENT_CERTIFICATE or TIEOUT_MANAGED_IDENTITY"),
        (
            {**APPLICATION, "TIEOUT_CLIENT_SECRET": SECRET, "TIEOUT_CLIENT_CERTIFICATE": "a.pem"},
            "TIEOUT_CLIENT_SECRET and TIEOUT_CLIENT_CERTIFICATE are set: unset all but one",
        ),
        ({"TIEOUT_CLIENT_SECRET": SECRET}, "TIEOUT_TENANT and TIEOUT_CLIENT_ID not"),
        ({"TIEOUT_CLIENT_CERTIFICATE": "a.pem", "TIEOUT_TENANT": TENANT}, "TIEOUT_CLIENT_ID not"),
        ({"TIEOUT_MANAGED_IDENTITY": "mine"}, "write system, or the client id"),
        ({**APPLICATION, "TIEOUT_TENANT": "../x", "TIEOUT_CLIENT_SECRET": SECRET}, "TIEOUT_TENANT is no directory"),
        ({"TIEOUT_AUTHORITY": "http://127.0.0.1:8090"}, "TIEOUT_AUTHORITY=.*: write https://host"),
    ],
)
def test_one_way_to_sign_in_is_set(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    with pytest.raises(SettingError, match=says) as raised:
        load({**ADDRESSES, **settings}, tmp_path)
    assert SECRET not in str(raised.value)


def test_systems_on_this_machine_are_called_without_a_token(tmp_path: Path) -> None:
    settings = load(dict.fromkeys(ADDRESSES, "http://127.0.0.1:8090"), tmp_path)
    with open_connectors(settings) as connectors:
        assert connectors.finance.connection._tokens is None


def test_msal_is_imported_with_the_first_token_alone() -> None:
    code = (
        "import sys, tieout.sync.connectors, tieout.cli; sys.exit('msal' in sys.modules or 'requests' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
