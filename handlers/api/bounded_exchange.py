"""HTTP exchanges with limits on size and time, for servers that may be slow, broken or hostile.

httpx limits each read from a connection, not the response: a server that sends a byte now and then never exceeds a
timeout, and a compressed response may expand a thousandfold. Here an exchange ends at its deadline, whatever it waits
for, and the size of a body is counted while it is decompressed.
"""

import math
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Final

import httpcore
import httpx
import msgspec

from handlers.api.classify import error_of_missing_response
from handlers.errors import Configuration, Transient


class Bounds(msgspec.Struct, frozen=True):
    """Limits of one exchange, and of one read of a table.

    Both systems end a call after two minutes (`docs/domain/limits.md`) and return 5,000 or 10,000 rows a page. A read
    that reaches `pages` or `read_seconds` fails; the poller continues it at the page that it had reached.
    """

    answer_bytes: int = 64 * 1024 * 1024
    """Size of a body, decompressed."""
    exchange_seconds: float = 240.0
    """Duration from the connection to the last byte of the response."""
    pages: int = 10_000
    """Pages of one read."""
    read_seconds: float = 3_600.0
    """Duration from the first page of a read to its last."""


DEFAULT: Final = Bounds()

ENCODING: Final = "gzip"
"""The only compression that is requested and accepted."""

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)
"""The deadline of the current exchange, in seconds of `time.monotonic`."""


def client(**options: Any) -> httpx.Client:
    """Return a client for `exchange`; `options` are those of `httpx.Client`. Redirects are not followed.

    Raises `Configuration` if the certificates or proxies of the environment are invalid.
    """
    try:
        http = httpx.Client(follow_redirects=False, **options)
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        # The message of httpx may contain the password of a proxy.
        raise Configuration(
            f"The HTTP client cannot be created ({type(error).__name__}). Check the variables SSL_CERT_FILE and "
            "SSL_CERT_DIR, and HTTPS_PROXY, HTTP_PROXY and ALL_PROXY (http:// proxies only)."
        ) from None
    # httpx has no public option for the network backend of the proxies that the environment names.
    for transport in (http._transport, *http._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            pool = transport._pool
            pool._network_backend = _Network(pool._network_backend)
    return http


def exchange(call: str, http: httpx.Client, request: httpx.Request, bounds: Bounds = DEFAULT) -> httpx.Response:
    """Send a request and return the whole response, decompressed; `call` names the request in errors.

    Raises `Transient` if the response is missing, truncated or exceeds `bounds`; `Configuration` for an unknown host or
    an untrusted certificate.
    """
    host = request.url.host
    request.headers["Accept-Encoding"] = ENCODING
    reset = _deadline.set(time.monotonic() + bounds.exchange_seconds)
    try:
        response = http.send(request, stream=True)
        try:
            body = b"".join(_decompressed(call, host, response, _raw(response), bounds.answer_bytes))
        finally:
            response.close()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise error_of_missing_response(call, host, error) from None
    finally:
        _deadline.reset(reset)
    # Bytes, because header values need not be ASCII.
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _TRANSFER_HEADERS]
    return httpx.Response(
        response.status_code, headers=headers, content=body, request=request, extensions=_phrase(response)
    )


_TRANSFER_HEADERS: Final = (b"content-encoding", b"content-length", b"transfer-encoding")
"""Headers that describe the body before decompression."""


def _phrase(response: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in response.extensions.items() if name == "reason_phrase"}


def _raw(response: httpx.Response) -> Iterator[bytes]:
    # Not `iter_raw`: transports within this process return responses that have been read already.
    assert isinstance(response.stream, httpx.SyncByteStream)
    for chunk in response.stream:
        if time.monotonic() > _deadline.get():
            raise httpx.ReadTimeout("the response takes too long")
        yield chunk


def _decompressed(
    call: str, host: str, response: httpx.Response, chunks: Iterable[bytes], most: int
) -> Iterator[bytes]:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", ENCODING):
        raise Transient(
            f"{call}: {host} compressed its response as {encoding[:40]!r}, which was not requested. Check the proxies "
            "between.",
            status=response.status_code,
            outcome_unknown=True,
        )
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS) if encoding == ENCODING else None
    received = size = 0
    for chunk in chunks:
        received += len(chunk)
        try:
            data = inflate.decompress(chunk, most - size + 1) if inflate else chunk
        except zlib.error:
            raise _truncated(call, host, response, received) from None
        size += len(data)
        # Bytes after the end of a compressed body are counted, too.
        if max(received, size) > most:
            raise Transient(
                f"{call}: the response of {host} is larger than {most:,} bytes, and the rest was not read. Check what "
                "responds at this address.",
                status=response.status_code,
                outcome_unknown=True,
            )
        yield data
    if inflate is not None and received and not inflate.eof:
        raise _truncated(call, host, response, received)


def _truncated(call: str, host: str, response: httpx.Response, received: int) -> Transient:
    return Transient(
        f"{call}: the compressed response of {host} is truncated or damaged ({received:,} bytes). Try again later.",
        status=response.status_code,
        outcome_unknown=True,
    )


# --- the deadline of a connection -------------------------------------------------------------------------------------


def _time_left(timeout: float | None, late: type[Exception]) -> float | None:
    """Return the timeout of one operation, in seconds, within the deadline of the exchange. Raises `late` after it."""
    seconds = _deadline.get() - time.monotonic()
    if seconds <= 0:
        raise late("the exchange takes too long")
    if math.isinf(seconds):
        return timeout
    return seconds if timeout is None else min(timeout, seconds)


class _Network(httpcore.NetworkBackend):
    """A network backend whose connections observe the deadline of each exchange."""

    def __init__(self, network: httpcore.NetworkBackend) -> None:
        self._network = network

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        seconds = _time_left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._network.connect_tcp(host, port, seconds, local_address, socket_options))

    def sleep(self, seconds: float) -> None:
        self._network.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _time_left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _time_left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = _time_left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
