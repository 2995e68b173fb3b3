"""Sends alerts as CloudEvents to the one address in the settings (R84).

The address is a secret, because it grants access to its receiver. Messages and logs contain its host only.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter
from tenacity.stop import stop_when_event_set

from handlers.api.bounded_exchange import Bounds, exchange
from handlers.errors import Configuration, Transient

CONTENT: Final = "application/cloudevents+json"
BOUNDS: Final = Bounds(answer_bytes=64 * 1024, exchange_seconds=30.0)
"""Limits of a response; its body is not used."""
ATTEMPTS: Final = 4
"""Attempts to send one alert before the next alert; it is retried later."""


class Webhook:
    """The receiver of alerts. `sleep` waits seconds between attempts; once `stop` is set, no attempt follows."""

    def __init__(
        self, http: httpx.Client, address: str, *, stop: threading.Event, sleep: Callable[[float], None]
    ) -> None:
        # httpx logs every address that it calls, and this one is a secret.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._http = http
        self._address = address
        self._host = urlsplit(address).hostname or ""
        self._retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS) | stop_when_event_set(stop),
            wait=wait_exponential_jitter(initial=1, max=15, jitter=1),
            retry=retry_if_exception_type(Transient),
            sleep=sleep,
            reraise=True,
        )

    def __repr__(self) -> str:
        return f"Webhook(host={self._host!r})"

    def send(self, event: Mapping[str, Any]) -> None:
        """Send a CloudEvent. Raises `Transient` if the receiver does not respond, `Configuration` if it refuses."""
        self._retrying(self._post, msgspec.json.encode(event))

    def _post(self, body: bytes) -> None:
        call = f"alert to {self._host}"
        try:
            request = self._http.build_request("POST", self._address, content=body, headers={"Content-Type": CONTENT})
        except httpx.InvalidURL:
            request = None
        if request is None or request.url.scheme not in ("http", "https"):
            # The message of httpx contains the address.
            raise Configuration(f"{call}: the address is invalid. Check TIEOUT_WEBHOOK.")
        response = exchange(call, self._http, request, BOUNDS)
        if response.is_success:
            return
        status = response.status_code
        if status in (408, 425, 429) or status >= 500:
            raise Transient(f"{call}: answered {status}.", status=status)
        raise Configuration(f"{call}: answered {status}. Check TIEOUT_WEBHOOK.", status=status)
