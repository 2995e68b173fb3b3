"""The store of the small company, and queries of its grids."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine

from engine.reconciliation.kinds import KINDS
from store.projection.tile_totals import BITS
from store.projection.writer import Writer
from store.queries.grid_query import GridQuery
from store.queries.snapshot import Snapshot
from tests.support.stores import MAPS, apply, batch_of
from tieout.simulator import ingest_lines, simulate


def fill(engine: Engine) -> Engine:
    """Project the events of the small company into a store, and return it."""
    writer = Writer(engine, MAPS, ("USPM",))
    apply(writer, batch_of([json.loads(line) for line in ingest_lines(simulate("small", 1).events)]))
    while writer.recompute():
        pass
    return engine


def grid_queries(snapshot: Snapshot, **more: Any) -> Iterator[GridQuery]:
    """Yield a query for every view of both grids, in the default window."""
    window = snapshot.window(snapshot.company("USPM"), None, None)
    for kind in KINDS:
        for view in BITS:
            yield GridQuery(company="USPM", kind=kind, window=window, view=view, **more)
