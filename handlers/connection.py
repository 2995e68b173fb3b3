"""One API as one user: every call to Finance or Dataverse leaves here, or does not leave.

A call waits for its turn (`handlers.limits`), needs the switch when it changes something (R49), carries a token, and
ends in an answer or in one of `handlers.errors`. Nothing is retried here but a call whose token was refused, once.
"""

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

from handlers.classify import decoded, refused, unanswered
from handlers.errors import Missing, OutgoingOff, Permanent
from handlers.limits import Limiter

log = structlog.get_logger(__name__)

_READS: Final = ("GET", "HEAD")
_ODATA: Final = {"Accept": "application/json", "OData-Version": "4.0", "OData-MaxVersion": "4.0"}


class Tokens(Protocol):
    """Where the token of a call comes from."""

    def token(self) -> str:
        """A token that holds. Raises `TargetError`."""

    def refused(self, token: str) -> None:
        """The system refused this token; the next one must be new."""


class Answer(msgspec.Struct, frozen=True):
    """What a system answered.

    `answered` is a moment before the rows in it were read, by the system's own clock where it tells the time: a row
    read then does not outrank a change made after (docs/connect-pollers.md).
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    content: dict[str, Any]
    """The body, numbers with a fraction as digits; empty where there is none."""
    answered: datetime


class Connection:
    """The API at `address` for one application user.

    `may_change` is asked before each call that changes something (R49). `clock` tells the time where the system does
    not.
    """

    def __init__(
        self,
        http: httpx.Client,
        address: str,
        tokens: Tokens,
        *,
        limiter: Limiter | None = None,
        may_change: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.address = httpx.URL(address.rstrip("/") + "/")
        self._http = http
        self._tokens = tokens
        self._limiter = limiter
        self._may_change = may_change
        self._clock = clock

    def __repr__(self) -> str:
        return f"Connection({str(self.address)!r})"

    def get(
        self, path: str, *, parameters: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Read. `path` is relative to the API, or an address that an answer of it gave. Raises `TargetError`."""
        return self.send("GET", path, parameters=parameters, headers=headers)

    def send(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        changes: bool = True,
    ) -> Answer:
        """Make one call; `body` is sent as JSON. Raises `TargetError`.

        Whatever is no GET needs the switch, unless it is known that it `changes` nothing.
        """
        address = self._joined(path)
        if parameters:
            # Not httpx's own encoding: the systems want to see `$select`, not `%24select`.
            address = address.copy_with(query=urlencode(parameters, safe="$,()'", quote_via=quote).encode())
        call = f"{method} {address.path.removeprefix(self.address.path)}"
        if changes and method not in _READS and not self._may_change():
            raise OutgoingOff(
                f"{call}: not sent, since outgoing calls are switched off for this environment. An administrator "
                "switches them on with TIEOUT_OUTGOING=true."
            )
        request = self._http.build_request(
            method,
            address,
            headers={**_ODATA, **(headers or {})},
            content=None if body is None else msgspec.json.encode(body),
        )
        if body is not None:
            request.headers["Content-Type"] = "application/json; charset=utf-8"
        token = self._tokens.token()
        response, answered = self._once(call, request, token)
        if response.status_code == 401:
            self._tokens.refused(token)
            response, answered = self._once(call, request, self._tokens.token())
        if not response.is_success:
            error = refused(call, response)
            if isinstance(error, Missing):
                error.answered = answered
            raise error
        content = decoded(call, response) if response.content else {}
        return Answer(response.status_code, response.content, response.headers, content, answered)

    def _once(self, call: str, request: httpx.Request, token: str) -> tuple[httpx.Response, datetime]:
        request.headers["Authorization"] = f"Bearer {token}"
        with self._limiter.turn(call) if self._limiter else nullcontext():
            before, started = self._clock(), time.monotonic()
            try:
                response = self._http.send(request)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise unanswered(call, request.url.host, error) from None
            took = time.monotonic() - started
            log.debug("call_answered", call=call, status=response.status_code, seconds=round(took, 3))
            if response.status_code == 429:
                raise refused(call, response)
        return response, _read_at(response, took) or before

    def _joined(self, path: str) -> httpx.URL:
        """An address below this API; a link to elsewhere would carry our token there."""
        address = self.address.join(path)
        if address.host != self.address.host or not address.path.startswith(self.address.path):
            raise Permanent(f"{path[:200]}: not sent, since it is not below {self.address}. Check the address.")
        return address


def _read_at(response: httpx.Response, took: float) -> datetime | None:
    """When the system began to answer, by its own clock: what it says of the end, less what the call took."""
    try:
        said = parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        return None
    return said.astimezone(UTC) - timedelta(seconds=took)
