"""HTTP access to the pair: an application for uvicorn, and a transport for httpx within one process."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tieout.simulator.pair.odata import PairRequest, PairResponse
from tieout.simulator.pair.systems import PORT, NoResponse, Pair

SILENT_SECONDS = 90.0
"""Time a caller over HTTP waits for a missing response, unless it gives up earlier."""
_POLL_SECONDS = 0.01


class Transport(httpx.BaseTransport):
    """httpx transport to a pair in this process; `sleep` passes the time of a call, on a simulated clock if need be."""

    def __init__(self, pair: Pair, sleep: Callable[[float], None] = lambda seconds: None) -> None:
        self._pair = pair
        self._sleep = sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Handle one call; raises what httpx raises for a missing response."""
        url = request.url
        headers = {name.lower(): value for name, value in request.headers.items()}
        host = f"{url.scheme}://{url.netloc.decode()}"
        call = self._pair.arrive(
            PairRequest(
                request.method, host, url.raw_path.decode().partition("?")[0], dict(url.params), headers, request.read()
            )
        )
        self._sleep(call.seconds)
        try:
            response = self._pair.finish(call)
        except NoResponse as silence:
            if silence.closed:
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.") from None
            raise httpx.ReadTimeout("The read operation timed out") from None
        return httpx.Response(response.status, headers=dict(response.headers), content=response.body())


def app(pair: Pair) -> ASGIApp:
    """Return the ASGI application of both APIs."""

    async def handle(incoming: HttpRequest) -> ASGIApp:
        url = incoming.url
        call = pair.arrive(
            PairRequest(
                incoming.method,
                f"{url.scheme}://{url.netloc}",
                incoming.scope["raw_path"].decode(),
                dict(incoming.query_params),
                dict(incoming.headers),
                await incoming.body(),
            )
        )
        if call.seconds:
            await anyio.sleep(call.seconds)
        try:
            return _Response(await anyio.to_thread.run_sync(pair.finish, call))
        except NoResponse as silence:
            if not silence.closed:
                await anyio.sleep(SILENT_SECONDS)
            return _DroppedConnection()

    methods = ["GET", "POST", "PATCH", "DELETE", "PUT"]
    return Starlette(
        routes=[
            # Health check of the process; it does not reach the pair.
            Route("/health", lambda request: PlainTextResponse("ok")),
            Route("/{path:path}", handle, methods=methods),
        ]
    )


class _Response:
    """A response with its headers unchanged."""

    def __init__(self, response: PairResponse) -> None:
        self._answer = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = self._answer.body()
        headers = [(name.lower().encode(), value.encode()) for name, value in self._answer.headers.items()]
        if self._answer.status not in (204, 304):
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": self._answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _DroppedConnection:
    """A connection that ends before the response: the server closes it because the promised body is missing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000000")]})


def listen(*ports: int) -> socket.socket:
    """Return a socket of this machine on the first free port of `ports`; by default the pair's port, else any."""
    for port in ports or (PORT, 0):
        # Name the protocol: otherwise asyncio keeps Nagle's algorithm, and each response waits for an acknowledgement.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError:
            listening.close()
        else:
            return listening
    raise OSError(f"no port of this machine is free of {ports or (PORT, 0)}")


@contextmanager
def serve_in_background(pair: Pair, listening: socket.socket) -> Iterator[str]:
    """Serve a pair in a thread for the duration of the block; yields its address."""
    port = listening.getsockname()[1]
    running = server(pair, port)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, name="pair", daemon=True)
    thread.start()
    while thread.is_alive() and not running.started:
        thread.join(_POLL_SECONDS)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.should_exit = True
        thread.join()


def server(pair: Pair, port: int) -> uvicorn.Server:
    """Return a server of the pair for this machine only."""
    # The server's own Date header would carry the real time instead of the pair's.
    config = uvicorn.Config(
        app(pair), host="127.0.0.1", port=port, log_level="critical", date_header=False, server_header=False
    )
    return uvicorn.Server(config)
