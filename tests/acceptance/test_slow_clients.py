"""Clients that are slow, silent or many, at a workspace that is served: they hold nothing that others need."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.workspace import Served, lines, posted_expense, project, served, settings_in
from tieout.workspace.web import concurrency_limit

FORM = "POST /USPM/errors/delete HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 1000\r\n\r\nwho=a"
WINDOW = "?from=2025-01-01&to=2025-01-31"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Served]:
    settings = settings_in(tmp_path)
    project(settings, lines([posted_expense("1", "100.00")]))
    with served(settings) as found:
        yield found


@contextmanager
def connected(workspace: Served, sent: str = "") -> Iterator[socket.socket]:
    """A connection on which a part of a request was sent."""
    place = urlsplit(workspace.address)
    with socket.create_connection((place.hostname, place.port), timeout=30) as client:
        client.sendall(sent.format(host=place.netloc).encode())
        yield client


def answered(client: socket.socket) -> bytes:
    """All that the server sends until it closes the connection."""
    found = b""
    try:
        while part := client.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def test_slow_senders_of_forms_hold_no_page_and_are_told_so(workspace: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency_limit, "FORM_SECONDS", 3.0)
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(workspace, FORM)) for _ in range(3 * concurrency_limit.PAGES_AT_ONCE)]
        assert "100.00" in httpx.get(f"{workspace.address}/USPM{WINDOW}", timeout=30).text
        assert {answered(client).split(b"\r\n")[0] for client in slow} == {b"HTTP/1.1 408 Request Timeout"}


@pytest.mark.parametrize(
    "sent",
    ["", "GET / HTTP/1.1\r\nHost: {host}\r\nX-Slow: ", "GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n"],
    ids=["nothing", "half of the headers", "nothing after a response"],
)
def test_a_connection_without_a_request_is_closed(
    workspace: Served, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(concurrency_limit, "REQUEST_SECONDS", 0.5)
    with connected(workspace, sent) as client:
        assert answered(client)[:15] == (b"HTTP/1.1 200 OK" if "/health" in sent else b"")


def until_answered(workspace: Served) -> None:
    """Ask for a page until a connection is not refused."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with connected(workspace, "GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n") as client:
            if answered(client).startswith(b"HTTP/1.1 200 OK"):
                return
        time.sleep(0.05)
    pytest.fail("every connection was refused")


def test_a_client_that_takes_nothing_of_its_responses_is_disconnected(
    workspace: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency_limit, "CONNECTIONS_MAX", 1)
    monkeypatch.setattr(concurrency_limit, "IDLE_SECONDS", 0.5)
    # More than the buffers of both sides hold.
    with connected(workspace, "GET /static/workspace.css HTTP/1.1\r\nHost: {host}\r\n\r\n" * 1_000) as client:
        until_answered(workspace)
        assert 0 < answered(client).count(b"HTTP/1.1 200 OK") < 1_000


def test_connections_beyond_the_limit_are_closed_and_served_again_below_it(
    workspace: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency_limit, "CONNECTIONS_MAX", 5)
    with ExitStack() as stack:
        held = [stack.enter_context(connected(workspace)) for _ in range(5)]
        with connected(workspace) as sixth:
            assert answered(sixth) == b""
        held[0].close()
        until_answered(workspace)
