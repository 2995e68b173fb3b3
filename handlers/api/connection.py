"""One API as one user: all calls to Finance and Dataverse are made here.

A call waits for a slot (`handlers.api.service_limits`), needs `TIEOUT_OUTGOING` if it changes data (R49), carries a
token, and returns a response or raises one of `handlers.errors`. Only a call whose token was refused is retried here,
once. Responses are limited in size and time (`handlers.api.bounded_exchange`), and their links are followed within the
same API only.
"""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

import httpx
import msgspec
import structlog

from handlers.api.bounded_exchange import DEFAULT, Bounds, exchange
from handlers.api.classify import decode_object, error_of_response
from handlers.api.service_limits import Limiter
from handlers.errors import Configuration, Missing, OutgoingOff, Permanent

log = structlog.get_logger(__name__)

_READS: Final = ("GET", "HEAD")
_ODATA: Final = {"Accept": "application/json", "OData-Version": "4.0", "OData-MaxVersion": "4.0"}

_LINK_CHARACTERS_MAX: Final = 16_384
_PLAIN_PATH: Final = re.compile(r"[\w./()=',$:@!*+;~-]*", re.ASCII)
"""The path of a link, without percent-encoding, which a server could decode as another folder (`%2e%2e`, `%2f`)."""
_CLOCK_AHEAD_MAX: Final = timedelta(days=1)
"""A clock of a system that is further ahead is ignored: its rows would take precedence over every later change."""


class Tokens(Protocol):
    """A source of access tokens."""

    def token(self) -> str:
        """Return a valid token. Raises `TargetError`."""

    def refused(self, token: str) -> None:
        """Invalidate a token that the system refused; the next one is new."""


class ApiResponse(msgspec.Struct, frozen=True):
    """A successful response of a system.

    `answered` is a time before its rows were read, by the clock of the system if the response has a `Date`. It is the
    precedence of the rows, so that they never replace a later change (docs/connect-pollers.md).
    """

    call: str
    """The request, for messages: `GET msdyn_actuals`."""
    status: int
    body: bytes
    headers: Mapping[str, str]
    content: dict[str, Any]
    """The decoded body, numbers with a fraction as text; empty without a body."""
    answered: datetime


class Connection:
    """The API at `address` for one application user.

    `tokens` is None for an API without authorisation. `may_change` is called before each call that changes data (R49).
    `clock` returns the time of a response without a `Date`.
    """

    def __init__(
        self,
        http: httpx.Client,
        address: str,
        tokens: Tokens | None,
        *,
        limiter: Limiter | None = None,
        bounds: Bounds = DEFAULT,
        may_change: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.address = httpx.URL(address.rstrip("/") + "/")
        self._http = http
        self._tokens = tokens
        self._limiter = limiter
        self.bounds = bounds
        self._may_change = may_change
        self._clock = clock

    def __repr__(self) -> str:
        return f"Connection({str(self.address)!r})"

    def get(
        self, path: str, *, parameters: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> ApiResponse:
        """Make a GET request; `path` is relative to the API. Raises `TargetError`."""
        return self.send("GET", path, parameters=parameters, headers=headers)

    def follow(self, link: str, *, headers: Mapping[str, str] | None = None) -> ApiResponse:
        """Read the target of a link in a response, which is checked by `check_link`. Raises `TargetError`."""
        return self._send("GET", self.check_link(link), headers or {}, None)

    def check_link(self, link: str) -> httpx.URL:
        """Return the address of a link in a response.

        Raises `Configuration` unless it is below this API, with the same scheme, host and port, without user info and
        without percent-encoding in its path: otherwise the token would be sent elsewhere.
        """
        try:
            address = self.address.join(link) if len(link) <= _LINK_CHARACTERS_MAX else None
        except (httpx.InvalidURL, ValueError):
            address = None
        if address is None or not self._is_below(address):
            raise Configuration(
                f"A link in a response of {self.address.host} was not followed ({link[:200]!r}), because it is not "
                f"below {self.address}. Check the address in the settings, and the proxies between."
            )
        return address

    def _is_below(self, address: httpx.URL) -> bool:
        return (
            (address.scheme, address.host, address.port) == (self.address.scheme, self.address.host, self.address.port)
            and not address.userinfo
            and address.path.startswith(self.address.path)
            and _PLAIN_PATH.fullmatch(address.raw_path.partition(b"?")[0].decode("ascii", "replace")) is not None
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        changes: bool = True,
    ) -> ApiResponse:
        """Make one call; `body` is sent as JSON. Raises `TargetError`.

        Every call except GET and HEAD needs outgoing calls to be switched on, unless `changes` is False.
        """
        address = self._joined(path)
        if parameters:
            # Not the encoding of httpx: the systems accept `$select`, but not `%24select`.
            address = address.copy_with(query=urlencode(parameters, safe="$,()'", quote_via=quote).encode())
        if changes and method not in _READS and not self._may_change():
            raise OutgoingOff(
                f"{self._call(method, address)}: not sent, because outgoing calls are switched off for this "
                "environment. Ask an administrator to set TIEOUT_OUTGOING=true."
            )
        return self._send(method, address, headers or {}, body)

    def _call(self, method: str, address: httpx.URL) -> str:
        return f"{method} {address.path.removeprefix(self.address.path)}"

    def _send(self, method: str, address: httpx.URL, headers: Mapping[str, str], body: object) -> ApiResponse:
        call = self._call(method, address)
        request = self._http.build_request(
            method,
            address,
            headers={**_ODATA, **headers},
            content=None if body is None else msgspec.json.encode(body),
        )
        if body is not None:
            request.headers["Content-Type"] = "application/json; charset=utf-8"
        token = self._sign(request)
        response, answered = self._once(call, request)
        if response.status_code == 401:
            if self._tokens is not None:
                self._tokens.refused(token)
            self._sign(request)
            response, answered = self._once(call, request)
        if not response.is_success:
            error = error_of_response(call, response)
            if isinstance(error, Missing):
                error.answered = answered
            raise error
        content = decode_object(call, response) if response.content else {}
        return ApiResponse(call, response.status_code, response.content, response.headers, content, answered)

    def _sign(self, request: httpx.Request) -> str:
        """Add a token to the request and return it."""
        if self._tokens is None:
            return ""
        token = self._tokens.token()
        request.headers["Authorization"] = f"Bearer {token}"
        return token

    def _once(self, call: str, request: httpx.Request) -> tuple[httpx.Response, datetime]:
        with self._limiter.slot(call) if self._limiter else nullcontext():
            before, started = self._clock(), time.monotonic()
            response = exchange(call, self._http, request, self.bounds)
            took = time.monotonic() - started
            log.debug("call_answered", call=call, status=response.status_code, seconds=round(took, 3))
            if response.status_code == 429:
                raise error_of_response(call, response)
        return response, _read_at(response, took, before)

    def _joined(self, path: str) -> httpx.URL:
        """Return the address of a path. Raises `Permanent` unless it is below this API."""
        try:
            address = self.address.join(path)
        except (httpx.InvalidURL, ValueError):
            address = None
        if address is None or address.host != self.address.host or not address.path.startswith(self.address.path):
            raise Permanent(f"{path[:200]}: not sent, because it is not below {self.address}. Check the address.")
        return address


def _read_at(response: httpx.Response, took: float, before: datetime) -> datetime:
    """Return the time at which the system began to respond, by its own clock: its `Date` minus the duration of the
    call.

    Falls back to `before`, the local time of the request, if `Date` is missing or implausible.
    """
    try:
        date = parsedate_to_datetime(response.headers["Date"])
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        began = date - timedelta(seconds=took)
    except (KeyError, ValueError, OverflowError):
        return before
    return before if began > before + _CLOCK_AHEAD_MAX else began
