"""Telling alerts: each as a CloudEvent to the one address that the settings name (R84).

The address is a secret: whoever has it can write there. No text and no log names more of it than its host.
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
"""Nobody reads what a receiver answers."""
ATTEMPTS: Final = 4
"""As often as one alert is sent before others have their turn; it comes again later."""


class Webhook:
    """The receiver of alerts. `sleep` waits seconds between attempts; after `stop` there is no further one."""

    def __init__(
        self, http: httpx.Client, address: str, *, stop: threading.Event, sleep: Callable[[float], None]
    ) -> None:
        # It logs every address it calls.
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
        """Send a CloudEvent. Raises `Transient` when the receiver stays away, `Configuration` when it refuses."""
        self._retrying(self._post, msgspec.json.encode(event))

    def _post(self, body: bytes) -> None:
        call = f"alert to {self._host}"
        try:
            request = self._http.build_request("POST", self._address, content=body, headers={"Content-Type": CONTENT})
        except httpx.InvalidURL:
            request = None
        if request is None or request.url.scheme not in ("http", "https"):
            # What httpx says of it holds the address.
            raise Configuration(f"{call}: the address is none. Check TIEOUT_WEBHOOK.")
        response = exchange(call, self._http, request, BOUNDS)
        if response.is_success:
            return
        status = response.status_code
        if status in (408, 425, 429) or status >= 500:
            raise Transient(f"{call}: answered {status}.", status=status)
        raise Configuration(f"{call}: answered {status}. Check TIEOUT_WEBHOOK.", status=status)
