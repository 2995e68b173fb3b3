"""An HTTP service of a test: one function answers every request."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

Reply = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body of a response."""


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes


def json_reply(status: int, content: object) -> Reply:
    """Return a response with JSON."""
    return status, {"Content-Type": "application/json"}, msgspec.json.encode(content)


@contextmanager
def answering(answer: Callable[[Asked], Reply], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve answers on a free port of this machine, over TLS with a context; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def _answered(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = answer(Asked(self.command, url.path, url.query, self.headers, body))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answered  # noqa: N815 - as the server looks for them

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
