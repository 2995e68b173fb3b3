"""One API as one user: every call to Finance or Dataverse leaves here, or does not leave.

A call waits for its turn (`handlers.api.service_limits`), needs the switch when it changes something (R49), carries a
token, and ends in an answer or in one of `handlers.errors`. Nothing is retried here but a call whose token was refused,
once. Answers are bounded (`handlers.api.bounded_exchange`), and links in them are followed within this API alone.
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
"""The path of a link: nothing is encoded in it that a server could read as another folder (`%2e%2e`, `%2f`, `%5c`)."""
_AHEAD_MAX: Final = timedelta(days=1)
"""A system's clock that is further ahead of ours is wrong: rows read by it would outrank every later change."""


class Tokens(Protocol):
    """Where the token of a call comes from."""

    def token(self) -> str:
        """A token that holds. Raises `TargetError`."""

    def refused(self, token: str) -> None:
        """The system refused this token; the next one must be new."""


class ApiResponse(msgspec.Struct, frozen=True):
    """What a system answered.

    `answered` is a moment before the rows in it were read, by the system's own clock where it tells the time: a row
    read then does not outrank a change made after (docs/connect-pollers.md).
    """

    call: str
    """The call that it answers, for messages: `GET msdyn_actuals`."""
    status: int
    body: bytes
    headers: Mapping[str, str]
    content: dict[str, Any]
    """The body, numbers with a fraction as digits; empty where there is none."""
    answered: datetime


class Connection:
    """The API at `address` for one application user.

    `tokens` is None where the API asks for none. `may_change` is asked before each call that changes something (R49).
    `clock` tells the time where the system does not.
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
        """Read; `path` is relative to the API. Raises `TargetError`."""
        return self.send("GET", path, parameters=parameters, headers=headers)

    def follow(self, link: str, *, headers: Mapping[str, str] | None = None) -> ApiResponse:
        """Read what a link leads to that an answer gave, and `check_link` took. Raises `TargetError`."""
        return self._send("GET", self.check_link(link), headers or {}, None)

    def check_link(self, link: str) -> httpx.URL:
        """The address that a link of an answer leads to.

        Raises `Configuration` unless it is below this API, at the same scheme, host and port, without user info and
        with nothing encoded in its path: our token would travel elsewhere.
        """
        try:
            address = self.address.join(link) if len(link) <= _LINK_CHARACTERS_MAX else None
        except (httpx.InvalidURL, ValueError):
            address = None
        if address is None or not self._leads_here(address):
            raise Configuration(
                f"A link in an answer of {self.address.host} leads elsewhere ({link[:200]!r}): not followed, since it "
                f"is not below {self.address}. Check the address in the settings, and proxies on the way."
            )
        return address

    def _leads_here(self, address: httpx.URL) -> bool:
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

        Whatever is no GET needs the switch, unless it is known that it `changes` nothing.
        """
        address = self._joined(path)
        if parameters:
            # Not httpx's own encoding: the systems want to see `$select`, not `%24select`.
            address = address.copy_with(query=urlencode(parameters, safe="$,()'", quote_via=quote).encode())
        if changes and method not in _READS and not self._may_change():
            raise OutgoingOff(
                f"{self._call(method, address)}: not sent, since outgoing calls are switched off for this environment. "
                "An administrator switches them on with TIEOUT_OUTGOING=true."
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
        """Put a token into the request; returns it."""
        if self._tokens is None:
            return ""
        token = self._tokens.token()
        request.headers["Authorization"] = f"Bearer {token}"
        return token

    def _once(self, call: str, request: httpx.Request) -> tuple[httpx.Response, datetime]:
        with self._limiter.turn(call) if self._limiter else nullcontext():
            before, started = self._clock(), time.monotonic()
            response = exchange(call, self._http, request, self.bounds)
            took = time.monotonic() - started
            log.debug("call_answered", call=call, status=response.status_code, seconds=round(took, 3))
            if response.status_code == 429:
                raise error_of_response(call, response)
        return response, _read_at(response, took, before)

    def _joined(self, path: str) -> httpx.URL:
        """The address of a path below this API. Raises `Permanent` for one that leads elsewhere."""
        try:
            address = self.address.join(path)
        except (httpx.InvalidURL, ValueError):
            address = None
        if address is None or address.host != self.address.host or not address.path.startswith(self.address.path):
            raise Permanent(f"{path[:200]}: not sent, since it is not below {self.address}. Check the address.")
        return address


def _read_at(response: httpx.Response, took: float, before: datetime) -> datetime:
    """When the system began to answer, by its own clock: what it says of the end, less what the call took.

    `before`, by our clock, where it does not say, or says what cannot be.
    """
    try:
        said = parsedate_to_datetime(response.headers["Date"])
        said = said.replace(tzinfo=UTC) if said.tzinfo is None else said.astimezone(UTC)
        began = said - timedelta(seconds=took)
    except (KeyError, ValueError, OverflowError):
        return before
    return before if began > before + _AHEAD_MAX else began
