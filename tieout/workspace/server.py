"""Serves the workspace on the loopback address, or on the address in `TIEOUT_EXPOSE_WITHOUT_SIGN_IN`."""

import errno
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn

from engine.errors import SettingError
from store.queries.reader import Reader
from tieout.bootstrap import open_store
from tieout.settings import Settings
from tieout.sync.command_topic import TopicWriter
from tieout.worker.maps_in_force import MapsInForce
from tieout.worker.signals import stop_on_signals
from tieout.workspace.app import make_app
from tieout.workspace.web.concurrency_limit import BoundedProtocol
from tieout.workspace.web.context import Workspace

HOST: Final = "127.0.0.1"
PORT: Final = 8080
_STOP_SECONDS: Final = 3
_LOOK_SECONDS: Final = 0.5
_STARTING_SECONDS: Final = 0.02

log = structlog.get_logger(__name__)


def listen(port: int, exposed: str | None = None) -> socket.socket:
    """Return a listening socket on the loopback address, or on the IPv4 address `exposed`; port 0 is any free port.

    Raises `SettingError` if the port is in use or the machine does not have the address.
    """
    # asyncio disables Nagle's algorithm only if the protocol is given; with it a page waits 40 ms for an ACK.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if port:
        # Not for any free port: the system could give one that another process has bound so and does not listen on yet.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((exposed or HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise SettingError(
                f"TIEOUT_EXPOSE_WITHOUT_SIGN_IN={exposed!r}: this machine does not have that address."
            ) from None
        raise SettingError(
            f"the workspace cannot be served on port {port} ({error.strerror}): choose another with --port."
        ) from None
    if exposed is not None:
        log.warning("workspace_exposed_without_sign_in", address=exposed, port=listening.getsockname()[1])
    return listening


def address(listening: socket.socket) -> str:
    """Return the address to open in a browser on this machine."""
    return f"http://{HOST}:{listening.getsockname()[1]}/"


def serve(settings: Settings, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; a second signal has its usual effect. Call `ready` once requests are answered."""
    stop = threading.Event()
    with stop_on_signals(stop), serve_in_background(settings, listening) as thread:
        # Exclude all present objects from garbage collection, so that no page waits for a full scan.
        gc.collect()
        gc.freeze()
        ready()
        while thread.is_alive() and not stop.wait(_LOOK_SECONDS):
            pass


@contextmanager
def serve_in_background(
    settings: Settings, listening: socket.socket, topic_writer: TopicWriter | None = None
) -> Iterator[threading.Thread]:
    """Serve in a background thread for the duration of the context.

    `topic_writer` is that of a worker in the same process; without one, the server opens its own.
    """
    with _server(settings, topic_writer or TopicWriter(settings)) as server:
        # The main thread keeps the signals for the worker.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="workspace", daemon=True)
        thread.start()
        while thread.is_alive() and not server.started:
            thread.join(_STARTING_SECONDS)
        log.info("workspace_started", address=address(listening))
        try:
            yield thread
        finally:
            server.should_exit = True
            thread.join(2 * _STOP_SECONDS)


@contextmanager
def _server(settings: Settings, topic_writer: TopicWriter) -> Iterator[uvicorn.Server]:
    with open_store(settings, write=False) as engine:
        in_force = MapsInForce(settings, "workspace")
        reader = Reader(
            engine, in_force.best, today=settings.today, delayed=settings.delayed, accounts=settings.ledger_accounts
        )
        workspace = Workspace(reader, in_force, settings, topic_writer)
        config = uvicorn.Config(
            make_app(workspace),
            http=BoundedProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        yield uvicorn.Server(config)
