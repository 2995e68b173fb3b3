"""Exchanges with a server that may be slow, broken or hostile: every answer is bounded in bytes and in time.

httpx bounds each read from a connection, not the answer: a server that sends a byte now and then is never too late, and
a compressed answer may be a thousand times as large as what came. Here an exchange ends by its deadline, whatever it
waits for, and a body is counted while it is decompressed.
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
    """What one exchange, and one read of a table, may take.

    Both systems end a call after two minutes (`docs/domain/limits.md`) and give 5,000 or 10,000 rows a page. A read
    that reaches `pages` or `read_seconds` fails; the poller continues it at the page that it had reached.
    """

    answer_bytes: int = 64 * 1024 * 1024
    """Of a body, decompressed."""
    exchange_seconds: float = 240.0
    """From the connection to the last byte of the answer."""
    pages: int = 10_000
    """Of one read."""
    read_seconds: float = 3_600.0
    """From the first page of a read to its last."""


DEFAULT: Final = Bounds()

ENCODING: Final = "gzip"
"""The one compression that is asked for, and taken."""

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)
"""When the exchange of this thread must have ended, in seconds of `time.monotonic`."""


def client(**options: Any) -> httpx.Client:
    """A client for `exchange`; `options` are those of `httpx.Client`. Redirects are not followed.

    Raises `Configuration` when what the environment says of certificates and proxies is no use.
    """
    try:
        http = httpx.Client(follow_redirects=False, **options)
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        # What httpx says of a proxy may hold its password.
        raise Configuration(
            f"no connection can be made ({type(error).__name__}): check the variables SSL_CERT_FILE and SSL_CERT_DIR, "
            "and HTTPS_PROXY, HTTP_PROXY and ALL_PROXY (http:// proxies only)."
        ) from None
    # httpx offers no public way to choose the network of the proxies that the environment names.
    for transport in (http._transport, *http._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            pool = transport._pool
            pool._network_backend = _Network(pool._network_backend)
    return http


def exchange(call: str, http: httpx.Client, request: httpx.Request, bounds: Bounds = DEFAULT) -> httpx.Response:
    """Send a request and read its whole answer, decompressed; `call` names it in errors.

    Raises `Transient` for an answer that does not come, is cut, or exceeds the bounds; `Configuration` for hosts and
    certificates that are wrong.
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
    # Bytes, for they need not be ASCII.
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_WAY]
    return httpx.Response(
        response.status_code, headers=headers, content=body, request=request, extensions=_phrase(response)
    )


_OF_THE_WAY: Final = (b"content-encoding", b"content-length", b"transfer-encoding")
"""Headers of the body as it travelled."""


def _phrase(response: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in response.extensions.items() if name == "reason_phrase"}


def _raw(response: httpx.Response) -> Iterator[bytes]:
    # Not `iter_raw`: transports within this process give answers that are read already.
    assert isinstance(response.stream, httpx.SyncByteStream)
    for chunk in response.stream:
        if time.monotonic() > _deadline.get():
            raise httpx.ReadTimeout("the answer takes too long")
        yield chunk


def _decompressed(
    call: str, host: str, response: httpx.Response, chunks: Iterable[bytes], most: int
) -> Iterator[bytes]:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", ENCODING):
        raise Transient(
            f"{call}: {host} compressed its answer as {encoding[:40]!r}, which was not asked for. Look at proxies on "
            "the way.",
            status=response.status_code,
            outcome_unknown=True,
        )
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS) if encoding == ENCODING else None
    came = size = 0
    for chunk in chunks:
        came += len(chunk)
        try:
            data = inflate.decompress(chunk, most - size + 1) if inflate else chunk
        except zlib.error:
            raise _cut(call, host, response, came) from None
        size += len(data)
        # What comes after the end of a compressed body is counted, too.
        if max(came, size) > most:
            raise Transient(
                f"{call}: the answer of {host} is larger than {most:,} bytes, and was not read further. Look at what "
                "answers at this address.",
                status=response.status_code,
                outcome_unknown=True,
            )
        yield data
    if inflate is not None and came and not inflate.eof:
        raise _cut(call, host, response, came)


def _cut(call: str, host: str, response: httpx.Response, came: int) -> Transient:
    return Transient(
        f"{call}: the compressed answer of {host} is cut or damaged ({came:,} bytes). Try again later.",
        status=response.status_code,
        outcome_unknown=True,
    )


# --- the deadline of a connection -------------------------------------------------------------------------------------


def _left(timeout: float | None, late: type[Exception]) -> float | None:
    """How long one operation may take: its own time-out, or what is left of the exchange. Raises `late`."""
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise late("the exchange takes too long")
    if math.isinf(left):
        return timeout
    return left if timeout is None else min(timeout, left)


class _Network(httpcore.NetworkBackend):
    """Connects as another does, and holds what it connects to the deadline of each exchange."""

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
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._network.connect_tcp(host, port, left, local_address, socket_options))

    def sleep(self, seconds: float) -> None:
        self._network.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
