"""The identity provider, by OpenID Connect: discovery, the authorization code flow with PKCE, and sign-out (R83).

authlib builds and reads the messages. They go through `handlers.api.bounded_exchange`, so a provider that is slow,
broken or hostile cannot hold a page.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import msgspec
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client

from handlers.api.bounded_exchange import Bounds, client, exchange
from handlers.api.secrets import register_secret
from handlers.errors import TargetError
from tieout.access.errors import ProviderUnavailable, SignInRefused
from tieout.access.id_tokens import UnknownKey, verify
from tieout.sign_in_checks import is_secure

SCOPE: Final = "openid profile email"
CACHED_SECONDS: Final = 3_600.0
"""How long the provider's metadata and keys are used before they are read again."""
KEYS_SECONDS: Final = 5.0
"""Keys are not read again within this time, whatever tokens arrive."""

_BOUNDS: Final = Bounds(answer_bytes=1024 * 1024, exchange_seconds=10.0)
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")

log = structlog.get_logger(__name__)


class Registration(msgspec.Struct, frozen=True):
    """How the workspace is registered at the provider. `callback` is the address to which the provider returns."""

    issuer: str
    client_id: str
    secret: str
    callback: str

    def __repr__(self) -> str:
        return f"Registration(issuer={self.issuer!r}, client_id={self.client_id!r})"


class SignedIn(msgspec.Struct, frozen=True):
    """A person who has signed in: the verified claims of the ID token, and the token itself."""

    claims: Mapping[str, Any]
    id_token: str

    def __repr__(self) -> str:
        return "SignedIn()"


class Provider:
    """One identity provider; thread-safe. Its metadata and keys are cached."""

    def __init__(self, registration: Registration, *, http: httpx.Client | None = None) -> None:
        self._registration = registration
        self._http = http or client(timeout=_BOUNDS.exchange_seconds)
        self._lock = threading.Lock()
        self._metadata: Mapping[str, Any] | None = None
        self._metadata_until = 0.0
        self._keys: Mapping[str, Any] | None = None
        self._keys_at = 0.0
        register_secret(registration.secret)

    def close(self) -> None:
        """Close the connections to the provider."""
        self._http.close()

    def authorization_address(self, state: str, nonce: str, verifier: str) -> str:
        """Return where the browser signs in. Raises `ProviderUnavailable`."""
        oauth = self._oauth(self.metadata())
        address, _ = oauth.create_authorization_url(
            self.metadata()["authorization_endpoint"], state=state, code_verifier=verifier, nonce=nonce
        )
        return str(address)

    def redeem(self, code: str, *, verifier: str, nonce: str) -> SignedIn:
        """Exchange a code for the person's verified claims. Raises `SignInRefused` or `ProviderUnavailable`."""
        metadata = self.metadata()
        token = self._token(metadata, code, verifier)
        id_token, access_token = token.get("id_token"), token.get("access_token")
        if not isinstance(id_token, str):
            raise SignInRefused("invalid-token", "the response has no ID token")
        register_secret(id_token)
        expected: dict[str, Any] = {
            "issuer": self._registration.issuer,
            "client_id": self._registration.client_id,
            "nonce": nonce,
            "access_token": access_token if isinstance(access_token, str) else None,
        }
        try:
            return SignedIn(verify(id_token, self._key_set(metadata), **expected), id_token)
        except UnknownKey:
            # The provider may have changed its keys.
            return SignedIn(verify(id_token, self._key_set(metadata, fresh=True), **expected), id_token)

    def requires_issuer(self) -> bool:
        """Return True if each response of the provider names its issuer (RFC 9207). Raises `ProviderUnavailable`."""
        return self.metadata().get("authorization_response_iss_parameter_supported") is True

    def sign_out_address(self, id_token: str, then: str) -> str | None:
        """Return where the browser signs out at the provider, to return to `then`; None if the provider has no such
        address or does not respond.
        """
        try:
            endpoint = self.metadata().get("end_session_endpoint")
        except ProviderUnavailable:
            return None
        if not isinstance(endpoint, str) or not is_secure(endpoint):
            return None
        query = {"client_id": self._registration.client_id, "post_logout_redirect_uri": then}
        if id_token:
            query["id_token_hint"] = id_token
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def metadata(self) -> Mapping[str, Any]:
        """Return the metadata of the provider. Raises `ProviderUnavailable`."""
        with self._lock:
            if self._metadata is None or time.monotonic() >= self._metadata_until:
                self._metadata = self._discover()
                self._metadata_until = time.monotonic() + CACHED_SECONDS
            return self._metadata

    # --- the exchanges -----------------------------------------------------------------------------------------------

    def _discover(self) -> Mapping[str, Any]:
        issuer = self._registration.issuer
        metadata = self._json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if metadata.get("issuer") != issuer:
            # Without its value: it is the provider's, and the setting must have exactly the same.
            raise ProviderUnavailable(
                f"the identity provider at {issuer} names another issuer: write TIEOUT_ISSUER exactly as it does."
            )
        for name in _ENDPOINTS:
            if not isinstance(metadata.get(name), str) or not is_secure(metadata[name]):
                raise ProviderUnavailable(f"the identity provider at {issuer} has no secure {name}.")
        return metadata

    def _key_set(self, metadata: Mapping[str, Any], *, fresh: bool = False) -> Mapping[str, Any]:
        with self._lock:
            age = time.monotonic() - self._keys_at
            if self._keys is None or age >= (KEYS_SECONDS if fresh else CACHED_SECONDS):
                keys = self._json(metadata["jwks_uri"])
                if not isinstance(keys.get("keys"), list):
                    raise ProviderUnavailable(f"{metadata['jwks_uri']} is no key set.")
                self._keys, self._keys_at = keys, time.monotonic()
            return self._keys

    def _json(self, address: str) -> Mapping[str, Any]:
        response = self._exchange(self._http.build_request("GET", address, headers={"Accept": "application/json"}))
        if response.status_code != 200:
            raise ProviderUnavailable(f"the identity provider answers {response.status_code} for {address}.")
        try:
            content = msgspec.json.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise ProviderUnavailable(f"{address} is no JSON object: check TIEOUT_ISSUER.")
        return content

    def _token(self, metadata: Mapping[str, Any], code: str, verifier: str) -> Mapping[str, Any]:
        oauth = self._oauth(metadata)
        try:
            token: Mapping[str, Any] = oauth.fetch_token(
                metadata["token_endpoint"], grant_type="authorization_code", code=code, code_verifier=verifier
            )
        except AuthlibBaseError as error:
            if error.error == "invalid_grant":
                raise SignInRefused("used-already", "the identity provider refused the code") from None
            # Such as a wrong client secret: the name of the error is enough, its description may contain anything.
            raise ProviderUnavailable(
                f"the identity provider refused the workspace ({str(error.error)[:60]!r}): check "
                "TIEOUT_SIGN_IN_CLIENT_ID, TIEOUT_SIGN_IN_SECRET and the registered redirect address "
                f"{self._registration.callback}."
            ) from None
        except (httpx.HTTPError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ProviderUnavailable(
                f"the token response of the identity provider is invalid ({type(error).__name__})."
            ) from None
        return token

    def _oauth(self, metadata: Mapping[str, Any]) -> Any:
        return OAuth2Client(
            session=_Session(self._http, self._exchange),
            client_id=self._registration.client_id,
            client_secret=self._registration.secret or None,
            token_endpoint_auth_method=_client_authentication(metadata, self._registration.secret),
            scope=SCOPE,
            redirect_uri=self._registration.callback,
            code_challenge_method="S256",
        )

    def _exchange(self, request: httpx.Request) -> httpx.Response:
        try:
            return exchange("sign-in", self._http, request, _BOUNDS)
        except TargetError as error:
            log.warning("provider_unavailable", reason=str(error))
            raise ProviderUnavailable(str(error)) from None


class _Session:
    """What authlib asks of an HTTP session: a form, posted with the credentials of the workspace."""

    def __init__(self, http: httpx.Client, send: Callable[[httpx.Request], httpx.Response]) -> None:
        self._http = http
        self._send = send

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: Any) -> httpx.Response:
        address, sent, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        return self._send(self._http.build_request("POST", address, headers=sent, content=body.encode()))


def _client_authentication(metadata: Mapping[str, Any], secret: str) -> str:
    """Return how the workspace proves its secret: as the provider prefers, without a secret by PKCE alone."""
    if not secret:
        return "none"
    supported = metadata.get("token_endpoint_auth_methods_supported")
    if isinstance(supported, list) and "client_secret_basic" not in supported and "client_secret_post" in supported:
        return "client_secret_post"
    return "client_secret_basic"
