"""Access tokens of Microsoft Entra ID, acquired by MSAL with a client secret, a certificate or a managed identity.

MSAL is imported when the first token is needed, because few commands need one. It makes its calls through
`handlers.api.bounded_exchange`.
"""

import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec

from handlers.api.bounded_exchange import exchange
from handlers.api.classify import code_of, decode_object, describe_response, error_of_response
from handlers.api.secrets import register_secret
from handlers.errors import Configuration, Transient

_WRONG: Final = {
    "invalid_client": "Check {credential} and TIEOUT_CLIENT_ID: the credential may have expired.",
    "unauthorized_client": "Check TIEOUT_CLIENT_ID: the application is not registered in the directory.",
    "invalid_request": "Check TIEOUT_TENANT.",
    "invalid_scope": "Check the addresses TIEOUT_DATAVERSE and TIEOUT_FINANCE.",
    "invalid_resource": "Check the addresses TIEOUT_DATAVERSE and TIEOUT_FINANCE.",
}
_MSAL_FAULTS: Final = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, OSError)
"""The exceptions of MSAL for an invalid response, whose members it does not validate."""
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,32768}")
"""A token that is safe in a header."""
_KEY: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"


class Application(msgspec.Struct, frozen=True):
    """An application that is registered in a directory (`tenant`), with a secret or a certificate file.

    `authority` is the https address of the sign-in service. `certificate` is a PEM file with the certificate and its
    private key.
    """

    authority: str
    tenant: str
    client_id: str
    secret: str = ""
    certificate: Path | None = None

    def __repr__(self) -> str:
        return f"Application(client_id={self.client_id!r}, authority={self.authority!r})"


class ManagedIdentity(msgspec.Struct, frozen=True):
    """A managed identity of Azure: user-assigned with a client id, otherwise system-assigned."""

    client_id: str = ""


class EntraTokens:
    """Tokens for one system, at `resource` (`https://org.crm4.dynamics.com`); thread-safe.

    MSAL caches a token until five minutes before it expires.
    """

    def __init__(self, http: httpx.Client, identity: Application | ManagedIdentity, resource: str) -> None:
        self._identity = identity
        if isinstance(identity, Application):
            register_secret(identity.secret)
        self._http = _Http(http, self._remedy)
        self._resource = resource
        self._lock = threading.Lock()
        self._acquire: Callable[[], Mapping[str, Any]] | None = None

    def __repr__(self) -> str:
        return f"EntraTokens({self._identity!r}, resource={self._resource!r})"

    def token(self) -> str:
        """Return a token that is valid for some minutes. Raises `TargetError`."""
        with self._lock:
            try:
                if self._acquire is None:
                    self._acquire = self._client()
                answer = self._acquire()
            except _MSAL_FAULTS as error:
                raise Configuration(
                    f"sign-in for {self._resource}: the response is not that of a sign-in service "
                    f"({type(error).__name__}). "
                    f"{self._check()}"
                ) from None
            token = answer.get("access_token")
            if not isinstance(token, str) or not _TOKEN.fullmatch(token):
                raise Configuration(f"sign-in for {self._resource}: the response has no token. {self._check()}")
            register_secret(token)
            return token

    def refused(self, token: str) -> None:
        """Invalidate the cache after the system refused a token, as after it was revoked: the cache belongs to the
        client of MSAL, which is created again.
        """
        with self._lock:
            self._acquire = None

    def _client(self) -> Callable[[], Mapping[str, Any]]:
        if isinstance(self._identity, ManagedIdentity):
            return self._managed(self._identity)
        return self._registered(self._identity)

    def _registered(self, application: Application) -> Callable[[], Mapping[str, Any]]:
        credential = _certificate(application.certificate) if application.certificate else application.secret
        from msal import ConfidentialClientApplication

        client = ConfidentialClientApplication(
            application.client_id,
            client_credential=credential,
            authority=f"{application.authority.rstrip('/')}/{application.tenant}",
            # Discovery would send the authority of the settings to login.microsoftonline.com.
            instance_discovery=False,
            # Not from the environment (MSAL_FORCE_REGION).
            azure_region=False,
            http_client=self._http,
        )
        return lambda: client.acquire_token_for_client([f"{self._resource}/.default"])

    def _managed(self, identity: ManagedIdentity) -> Callable[[], Mapping[str, Any]]:
        from msal import ManagedIdentityClient, SystemAssignedManagedIdentity, UserAssignedManagedIdentity

        own = (
            UserAssignedManagedIdentity(client_id=identity.client_id)
            if identity.client_id
            else SystemAssignedManagedIdentity()
        )
        client = ManagedIdentityClient(own, http_client=self._http)
        return lambda: client.acquire_token_for_client(resource=self._resource)

    def _check(self) -> str:
        if isinstance(self._identity, ManagedIdentity):
            return "Check TIEOUT_MANAGED_IDENTITY, and that this machine has a managed identity."
        return "Check TIEOUT_AUTHORITY and TIEOUT_TENANT."

    def _remedy(self, code: str) -> str:
        """Return the remedy for a sign-in that was refused with this code."""
        if isinstance(self._identity, ManagedIdentity):
            return self._check()
        credential = "TIEOUT_CLIENT_CERTIFICATE" if self._identity.certificate else "TIEOUT_CLIENT_SECRET"
        remedy = _WRONG.get(code, "Check TIEOUT_TENANT, TIEOUT_CLIENT_ID and {credential}.")
        return remedy.format(credential=credential)


def _certificate(path: Path) -> dict[str, str]:
    """Return the MSAL credential of a certificate file. Raises `Configuration`."""
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        # The value may be a secret that was set here by mistake.
        named = path if path.suffix else "the file"
        raise Configuration(f"{named} (TIEOUT_CLIENT_CERTIFICATE) cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        text = ""
    key, start = _KEY.search(text), text.find(_CERTIFICATE)
    if key is None or start < 0:
        raise Configuration(
            f"{path} (TIEOUT_CLIENT_CERTIFICATE) is not a PEM file with a certificate and its private key. Put both "
            "into it, as text; openssl pkcs12 converts a PFX file."
        )
    _check_pair(path, key[0], text[start:])
    return {"private_key": key[0], "public_certificate": text[start:]}


def _check_pair(path: Path, key: str, certificate: str) -> None:
    """Raise `Configuration` unless the private key belongs to the certificate."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    try:
        private = load_pem_private_key(key.encode(), None)
        public = load_pem_x509_certificate(certificate.encode()).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Configuration(
            f"{path} (TIEOUT_CLIENT_CERTIFICATE): its certificate or private key is damaged, or the key is encrypted. "
            "Decrypt it (openssl pkey), and let only the user that runs tieout read the file."
        ) from None
    if not isinstance(private, RSAPrivateKey) or private.public_key() != public:
        raise Configuration(
            f"{path} (TIEOUT_CLIENT_CERTIFICATE): the private key is not the RSA key of the certificate. Put the two "
            "that belong together into it."
        )


class _Reply(msgspec.Struct, frozen=True):
    """A response in the form that MSAL expects."""

    status_code: int
    text: str
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        """Do nothing: MSAL receives successful responses and challenges only."""


class _Http:
    """The HTTP client that MSAL calls. A refused or invalid response raises `TargetError` through MSAL; `remedy`
    returns the remedy for an error code.
    """

    def __init__(self, http: httpx.Client, remedy: Callable[[str], str]) -> None:
        self._http = http
        self._remedy = remedy

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: object
    ) -> _Reply:
        return self._sent(self._http.build_request("GET", url, params=params, headers=headers))

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str | bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> _Reply:
        # Not the encoding of httpx: the assertion of a certificate is bytes.
        form = {**(headers or {}), "Content-Type": "application/x-www-form-urlencoded"}
        content = urlencode(data or {}).encode()
        if assertion := (data or {}).get("client_assertion"):
            register_secret(assertion if isinstance(assertion, str) else assertion.decode())
        return self._sent(self._http.build_request("POST", url, params=params or None, content=content, headers=form))

    def close(self) -> None:
        """Do nothing: the caller owns the client."""

    def _sent(self, request: httpx.Request) -> _Reply:
        parts = urlsplit(str(request.url))
        call = f"sign-in at {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        response = exchange(call, self._http, request)
        if response.is_success:
            decode_object(call, response)
        # Azure Arc challenges the first call with the name of a file that only an authorised process can read.
        elif response.status_code != 401 or "basic realm=" not in response.headers.get("www-authenticate", "").lower():
            if 300 <= response.status_code < 429 and response.status_code != 408:
                code = code_of(response)
                message = f"{describe_response(call, response)} {self._remedy(code)}"
                raise Configuration(message, status=response.status_code, system_code=code)
            raise error_of_response(call, response)
        try:
            text = response.content.decode()
        except UnicodeDecodeError:
            raise Transient(
                f"{call}: the response is not UTF-8. Try again later.", status=response.status_code
            ) from None
        return _Reply(response.status_code, text, response.headers)
