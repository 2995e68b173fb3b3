"""How the commands serve the workspace: `run` and `demo`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import socket
    import threading

    from tieout.settings import Settings
    from tieout.sync.command_topic import TopicWriter

PortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65_535, help="Port of the workspace; 8080 by default.", show_default=False),
]
HostOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="IP address on which the workspace is served; 127.0.0.1 by default. Others need sign-in.",
        show_default=False,
    ),
]


def serve(settings: "Settings", port: int | None, host: str | None = None) -> None:
    """Serve the workspace until it is stopped, and print its address. Waits for a database that is not reachable."""
    import threading

    from tieout.worker.projecting import wait_for_store
    from tieout.worker.signals import stop_on_signals
    from tieout.workspace import server

    listening = _listen(settings, port, host)
    stop = threading.Event()
    with stop_on_signals(stop):
        wait_for_store(settings, stop)
    if stop.is_set():
        return
    server.serve(settings, listening, lambda: print_address(server.address(listening, settings)))


def _listen(settings: "Settings", port: int | None, host: str | None) -> "socket.socket":
    """Return the listening socket of the workspace. Raises `SettingError`, also for an invalid certificate."""
    from tieout.workspace import server

    server.tls_context(settings)
    sign_in = settings.issuer is not None
    return server.listen(server.PORT if port is None else port, host or server.HOST, sign_in=sign_in)


def print_address(address: str | None) -> None:
    """Print the address of the workspace to standard error."""
    sys.stderr.write(f"The workspace is at {address} (stop it with Ctrl-C)\n")
    sys.stderr.flush()


@contextmanager
def serving_workspace(
    settings: "Settings",
    port: int | None,
    host: str | None,
    topic_writer: "TopicWriter",
    stop: "threading.Event",
    *,
    enabled: bool,
    named: bool,
) -> Iterator[str | None]:
    """Serve the workspace in threads of this process, and yield its address.

    A port in use raises `SettingError` only if the role, the port or the address is named.
    """
    if not enabled:
        yield None
        return
    import structlog

    from engine.errors import SettingError
    from tieout.worker.projecting import create_store
    from tieout.workspace import server

    log = structlog.get_logger(__name__)
    try:
        listening = _listen(settings, port, host)
    except SettingError as error:
        if named or port is not None or host is not None:
            raise
        log.warning("workspace_not_served", reason=str(error))
        yield None
        return
    create_store(settings, stop)
    with server.serve_in_background(settings, listening, topic_writer):
        yield server.address(listening, settings)
