"""A server of this machine whose responses a test scripts byte by byte, without a library in between."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from handlers.api.bounded_exchange import Bounds, client
from handlers.api.connection import Connection
from handlers.api.dataverse import Dataverse
from handlers.api.service_limits import Limiter

Script = Callable[[str], Iterable[bytes]]
"""Yields the pieces written to a caller of a path with its query; then the connection is closed."""

API = "/api/data/v9.2"
BOUNDS = Bounds(answer_bytes=1_000_000, exchange_seconds=1.5, pages=20, read_seconds=5.0)
MOST_PIECES = 100_000
"""Limit of an endless response, so that a test that does not stop it fails."""


class Hostile:
    """The address of the server, and its requests: paths with their queries, and the head of each request."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requested: list[str] = []
        self.heads: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65_536)
                if not piece:
                    return
                head += piece
            path = head.split(b" ", 2)[1].decode()
            self.heads.append(head.decode("latin-1"))
            self.requested.append(path)
            for number, piece in enumerate(self.script(path)):
                if number > MOST_PIECES:
                    return
                connection.sendall(piece)

    def close(self) -> None:
        # `close` alone does not interrupt a pending `accept`.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def hostile(script: Script) -> Iterator[Hostile]:
    """A server with this script for the length of the block."""
    server = Hostile(script)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(10)


def reply(body: bytes = b"", status: str = "200 OK", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer."""
    fields = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **(headers or {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body


def rows(*content_rows: Any, **members: Any) -> bytes:
    """A whole page of rows; members are those of OData (`nextLink`)."""
    content = {"@odata.context": "https://org/api/data/v9.2/$metadata#msdyn_actuals", "value": list(content_rows)}
    return reply(msgspec.json.encode({**content, **{f"@odata.{name}": value for name, value in members.items()}}))


def zipped(body: bytes, **headers: str) -> bytes:
    """A whole answer, compressed."""
    return reply(gzip.compress(body), headers={"Content-Encoding": "gzip", **headers})


class SecretToken:
    """An access token that must not leave for another host."""

    def token(self) -> str:
        return "secret-token"

    def refused(self, token: str) -> None:
        pass


def connection(server: Hostile, bounds: Bounds = BOUNDS, limiter: Limiter | None = None) -> Connection:
    """Return a connection to the server. Only its bounds end an exchange: the time-outs of httpx are longer."""
    return Connection(client(timeout=60.0), server.address + API, SecretToken(), bounds=bounds, limiter=limiter)


def read_actuals(script: Script, bounds: Bounds = BOUNDS) -> list[dict[str, Any]]:
    """Return the actuals that the connector reads from a server with this script."""
    with hostile(script) as server:
        return [row for page in Dataverse(connection(server, bounds)).pages("msdyn_actuals") for row in page.rows]
