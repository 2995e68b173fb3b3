"""A page that is sent in pieces keeps nothing for a reader who left."""

import asyncio
import gc
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.pool import QueuePool
from starlette.applications import Starlette

from store.queries.reader import Reader
from tests.support.workspace import project, settings_in
from tieout.bootstrap import open_store
from tieout.simulator import ingest_lines, simulate
from tieout.sync.command_topic import TopicWriter
from tieout.worker.maps_in_force import MapsInForce
from tieout.workspace.app import make_app
from tieout.workspace.web.context import Workspace

Message = MutableMapping[str, Any]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Starlette, QueuePool]]:
    """The workspace of the small company, and the connections of its readers."""
    settings = settings_in(tmp_path)
    project(settings, list(ingest_lines(simulate("small", 1).events)))
    with open_store(settings, write=False) as engine:
        in_force = MapsInForce(settings, "workspace")
        assert isinstance(engine.pool, QueuePool)
        yield (
            make_app(
                Workspace(
                    Reader(engine, in_force.best, today=settings.today), in_force, settings, TopicWriter(settings)
                )
            ),
            engine.pool,
        )


@pytest.mark.parametrize("wanted", [1, 2, 10])
@pytest.mark.parametrize("path", ["/USPM/balance", "/USPM/expense.csv", "/USPM/expense"])
@pytest.mark.requirement("R35")
def test_who_leaves_before_the_last_piece_leaves_no_connection_behind(
    served: tuple[Starlette, QueuePool], path: str, wanted: int
) -> None:
    app, pool = served
    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")],
        "server": ("127.0.0.1", 80),
    }
    left = asyncio.Event()
    sent: list[Message] = []

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == wanted:
            left.set()
            await asyncio.sleep(60)

    gc.disable()
    try:
        asyncio.run(app(scope, receive, send))
        assert sent[0]["status"] == 200
        assert pool.checkedout() == 0
    finally:
        gc.enable()
