"""The simulated pair in this process, connectors to it, and a clock that advances on every wait."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx

from engine.events.facts import Change
from engine.reconciliation.documents import Document
from handlers.api.bounded_exchange import client
from handlers.api.connection import Connection
from handlers.api.dataverse import API as DATAVERSE_API
from handlers.api.dataverse import Dataverse
from handlers.api.finance import API as FINANCE_API
from handlers.api.finance import Finance
from handlers.api.service_limits import Limiter
from handlers.processes import Processes, Target, read_target
from streams.codec import decode
from tests.support.memory_world import MemoryWorld
from tests.support.stores import MAPS
from tieout.simulator import simulate, small
from tieout.simulator.pair import Pair, Transport, small_pair
from tieout.simulator.pair.serving import server
from tieout.simulator.pair.systems import ACTIONS
from tieout.simulator.scenario import SimulatedEvent, encode

HOST = "https://contoso.example.com"


class Clock:
    """Clock of the pair: starts at the end of the company's year and advances on `sleep` and `days` only."""

    def __init__(self) -> None:
        self.start = small.UNTIL
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def days(self, days: float) -> None:
        self.seconds += days * 86_400


class Site:
    """A pair with connectors, its events and its processes. Outgoing calls are enabled."""

    def __init__(self, *, seed: int = 1, limiter: Limiter | None = None, **more: Any) -> None:
        self.clock = Clock()
        self.events: list[SimulatedEvent] = []
        self.pair: Pair = small_pair(seed, clock=self.clock.now, sink=self.events.append, **more)
        self.on = True
        self.http = httpx.Client(transport=Transport(self.pair, self.clock.sleep))
        self.dataverse = Dataverse(self._connection(DATAVERSE_API, limiter))
        self.finance = Finance(self._connection(FINANCE_API, limiter))
        self.processes = Processes(self.finance, self.dataverse, targets())

    def _connection(self, api: str, limiter: Limiter | None) -> Connection:
        return Connection(
            self.http,
            f"{HOST}/{api}",
            None,
            limiter=limiter,
            may_change=lambda: self.on,
            clock=self.clock.now,
        )

    def limited(self) -> None:
        """Enforce the service limits from now on."""
        for connection in (self.dataverse.connection, self.finance.connection):
            connection._limiter = Limiter(self.clock, self.clock.sleep)

    def rows(self, entity: str, where: Callable[[Any], bool] = lambda row: True) -> list[Any]:
        return [row for row in self.pair.tables[entity].rows.values() if where(row)]


def targets() -> dict[str, Target]:
    """Return the targets of the pair's processes."""
    targets_by_process = {}
    for process, written in ACTIONS.items():
        target = read_target(process, written)
        assert target is not None
        targets_by_process[process] = target
    return targets_by_process


class Served:
    """A pair on a port, and connectors to it."""

    def __init__(self, pair: Pair, port: int) -> None:
        self.pair = pair
        self.address = f"http://127.0.0.1:{port}"
        self.http = client(timeout=1.0)

        def connection(api: str) -> Connection:
            return Connection(self.http, f"{self.address}/{api}", None, may_change=lambda: True)

        self.dataverse = Dataverse(connection("api/data/v9.2"))
        self.finance = Finance(connection("data"))

    def settings(self) -> dict[str, str]:
        """Return the settings that connect to the pair."""
        return {"TIEOUT_FINANCE": self.address, "TIEOUT_DATAVERSE": self.address}


@contextmanager
def serving(**more: Any) -> Iterator[Served]:
    """Serve a pair on a port of this machine."""
    pair, listening = small_pair(**more), socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    running = server(pair, port)
    thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        yield Served(pair, port)
    finally:
        running.force_exit = running.should_exit = True
        thread.join(10)


def decoded_facts(events: list[SimulatedEvent]) -> list[Any]:
    """Decode events as the product does."""
    facts = []
    for event in events:
        headers = [(name, value.encode()) for name, value in event.headers.items()]
        facts += decode(encode(event.value), headers)
    return facts


def documents_after(site: Site) -> dict[str, Document]:
    """Return the documents, by name, after the company's story and all events of the pair."""
    story = decoded_facts(list(simulate("small", deliver=False).events))
    changes = [fact for fact in [*story, *decoded_facts(site.events)] if isinstance(fact, Change)]
    changes = [change for change in changes if MAPS.find(change.entity)]
    world = MemoryWorld(changes, MAPS, ["USPM"])
    return {document.document: document for chain in world.chains for document in chain.documents}


def export(site: Site, transaction: str) -> dict[str, Any]:
    """Export an expense of Finance to Dataverse, and return the response of the process."""
    row = site.pair.tables.first("TrvExpTrans", "ProjTransId", transaction)
    assert row is not None
    return site.processes.start("export", {"company": "USPM", "table": "TrvExpTrans", "recId": int(row.id)})
