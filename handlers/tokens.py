"""Access tokens by the client credentials flow: the application signs in as itself, with its secret.

Source: "Microsoft identity platform and the OAuth 2.0 client credentials flow".
"""

import threading
from collections.abc import Callable
from typing import Final

import httpx

from handlers.classify import decoded, refused, unanswered
from handlers.errors import Configuration, TargetError

_RENEWED_BEFORE_SECONDS: Final = 300
"""A token is renewed so long before it ends: a call may take minutes, and clocks differ."""

_WRONG: Final = {
    "invalid_client": "Check TIEOUT_CLIENT_ID and TIEOUT_CLIENT_SECRET: the secret may have expired.",
    "unauthorized_client": "Check TIEOUT_CLIENT_ID: the directory does not know this application.",
    "invalid_request": "Check TIEOUT_TENANT.",
    "invalid_scope": "Check the addresses TIEOUT_DATAVERSE and TIEOUT_FINANCE.",
    "invalid_resource": "Check the addresses TIEOUT_DATAVERSE and TIEOUT_FINANCE.",
}


class ClientCredentials:
    """Tokens of one application for one system, kept until shortly before they end; for several threads.

    `address` is the token endpoint, `scope` the system's address and `/.default`. `clock` gives seconds that only grow.
    """

    def __init__(
        self, http: httpx.Client, *, address: str, client_id: str, secret: str, scope: str, clock: Callable[[], float]
    ) -> None:
        self._http = http
        self._address = address
        self._client_id = client_id
        self._secret = secret
        self._scope = scope
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._until = float("-inf")

    def __repr__(self) -> str:
        return f"ClientCredentials(client_id={self._client_id!r}, scope={self._scope!r})"

    def token(self) -> str:
        """A token that still holds for some minutes. Raises `TargetError`."""
        with self._lock:
            if self._clock() >= self._until - _RENEWED_BEFORE_SECONDS:
                self._renew()
            return self._token

    def refused(self, token: str) -> None:
        """The system refused this token: it was revoked, or the system's clock is ahead. The next one is new."""
        with self._lock:
            if token == self._token:
                self._until = float("-inf")

    def _renew(self) -> None:
        call = f"sign-in at {self._address}"
        asked = self._clock()
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._secret,
            "scope": self._scope,
        }
        try:
            response = self._http.post(self._address, data=form)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unanswered(call, httpx.URL(self._address).host, error) from None
        if not response.is_success:
            raise _not_signed_in(call, refused(call, response))
        content = decoded(call, response)
        token, lasts = content.get("access_token"), content.get("expires_in")
        if not isinstance(token, str) or not isinstance(lasts, int | str):
            raise Configuration(f"{call}: the answer holds no token. Check TIEOUT_AUTHORITY and TIEOUT_TENANT.")
        self._token = token
        self._until = asked + float(lasts)


def _not_signed_in(call: str, error: TargetError) -> TargetError:
    """A refused sign-in with what to do about it."""
    if error.status is None or error.status >= 429:
        return error
    said = _WRONG.get(error.code, "Check TIEOUT_TENANT, TIEOUT_CLIENT_ID and TIEOUT_CLIENT_SECRET.")
    return Configuration(f"{error} {said}", status=error.status, code=error.code)
