"""Serves the workspace: on this machine, or with sign-in on any address."""

import errno
import gc
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import structlog
import uvicorn
from sqlalchemy import Engine

from engine.errors import SettingError
from store.operational.sessions import MINUTE, Sessions
from store.queries.reader import Reader
from store.schema.database import connect
from tieout.bootstrap import open_store
from tieout.settings import Settings
from tieout.sync.command_topic import TopicWriter
from tieout.worker.maps_in_force import MapsInForce
from tieout.worker.signals import stop_on_signals
from tieout.workspace.app import make_app
from tieout.workspace.web.concurrency_limit import BoundedProtocol
from tieout.workspace.web.context import Workspace
from tieout.workspace.web.sign_in import SignIn

HOST: Final = "127.0.0.1"
PORT: Final = 8080
_STOP_SECONDS: Final = 3
_LOOK_SECONDS: Final = 0.5
_STARTING_SECONDS: Final = 0.02

log = structlog.get_logger(__name__)


def listen(port: int, host: str = HOST, *, sign_in: bool = False) -> socket.socket:
    """Return a listening socket on an IP address of this machine; port 0 is any free port.

    Raises `SettingError` if the port is in use, the machine does not have the address, or others could reach it and
    there is no sign-in.
    """
    try:
        where = ipaddress.ip_address(host)
    except ValueError:
        raise SettingError(
            f"--host {host!r} is no IP address: write one of this machine, or 0.0.0.0 for all."
        ) from None
    if not where.is_loopback and not sign_in:
        raise SettingError(
            f"--host {host}: others could read everything and start a sync, because there is no sign-in. Set "
            "TIEOUT_ISSUER (docs/security.md), or leave out --host."
        )
    # asyncio disables Nagle's algorithm only if the protocol is given; with it a page waits 40 ms for an ACK.
    family = socket.AF_INET6 if where.version == 6 else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if port:
        # Not for any free port: the system could give one that another process has bound so and does not listen on yet.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise SettingError(f"--host {host}: this machine does not have that address.") from None
        raise SettingError(
            f"the workspace cannot be served on port {port} ({error.strerror}): choose another with --port."
        ) from None
    return listening


def address(listening: socket.socket, settings: Settings | None = None) -> str:
    """Return the address to open in a browser: that of the settings, else the one on this machine."""
    if settings is not None and settings.workspace_address is not None:
        return f"{settings.workspace_address}/"
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


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
        log.info("workspace_started", address=address(listening, settings))
        try:
            yield thread
        finally:
            server.should_exit = True
            thread.join(2 * _STOP_SECONDS)


@contextmanager
def _server(settings: Settings, topic_writer: TopicWriter) -> Iterator[uvicorn.Server]:
    with ExitStack() as stack:
        engine = stack.enter_context(open_store(settings, write=False))
        in_force = MapsInForce(settings, "workspace")
        reader = Reader(
            engine, in_force.best, today=settings.today, delayed=settings.delayed, accounts=settings.ledger_accounts
        )
        workspace = Workspace(reader, in_force, settings, topic_writer, sign_in=_sign_in(settings, engine, stack))
        config = uvicorn.Config(
            make_app(workspace),
            http=BoundedProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            # Forwarded headers are read by `tieout.workspace.web.proxies`.
            proxy_headers=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        config.load()
        config.ssl = tls_context(settings)
        yield uvicorn.Server(config)


def _sign_in(settings: Settings, engine: Engine, stack: ExitStack) -> SignIn | None:
    """Return the sign-in of the settings; None without one. Connections for writing are closed with the stack."""
    if settings.issuer is None:
        return None
    # Imported here, because it loads authlib.
    from tieout.access.provider import Provider, Registration

    assert settings.workspace_address is not None
    assert settings.sign_in_client_id is not None
    registration = Registration(
        issuer=settings.issuer,
        client_id=settings.sign_in_client_id,
        secret=settings.sign_in_secret or "",
        callback=f"{settings.workspace_address}/sign-in/callback",
    )
    writing = connect(settings.store, write=True)
    stack.callback(writing.dispose)
    sessions = Sessions(engine, writing, idle=settings.session_idle_minutes * MINUTE)
    return SignIn(settings, Provider(registration), sessions)


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the TLS context of the workspace's certificate; None without one. Raises `SettingError`."""
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without the password, OpenSSL would ask for it on the terminal.
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    except (OSError, ValueError) as error:
        raise SettingError(
            f"TIEOUT_TLS_CERTIFICATE: {settings.tls_certificate} and its key cannot be used "
            f"({getattr(error, 'reason', None) or getattr(error, 'strerror', None) or type(error).__name__}). Write "
            "PEM files of a certificate and of its own key, which is not encrypted."
        ) from None
    return context
