"""The journal lines that keep a journal from being posted, read from the store (`engine.sync.journal_obstacles`)."""

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, or_, select

from engine.mapping.compiler import Maps
from engine.sync.journal_obstacles import CODES, Journal, lines_in_the_way
from store.projection.batch_projection import BatchProjection
from store.projection.projection_cache import ProjectionCache
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.queries.common import decode_chain
from store.schema import tables
from store.schema.bulk_sql import chunks

_CHUNK: Final = 500


def journal_obstacles(
    connection: Connection, maps: Maps, cache: ProjectionCache, journals: Collection[Journal]
) -> Mapping[Journal, tuple[str, ...]]:
    """Return the lines in the way of these journals, by RecId; nothing for a journal without one.

    They are found through the findings of their chains, which are few, whereas a journal has thousands of lines.
    """
    if not journals:
        return {}
    rows = ReadYourWrites(connection, UncommittedWrites())
    found: dict[Journal, set[str]] = {}
    for chunk in chunks(_chains(connection, {company for company, _ in journals}), _CHUNK):
        projection = BatchProjection(rows, maps, cache)
        inputs = projection.chain_inputs(chunk)
        for chain, body in rows.chains(chunk):
            for journal, line in lines_in_the_way(inputs[chain].rows, decode_chain(body).findings, projection):
                if journal in journals:
                    found.setdefault(journal, set()).add(line)
    return {journal: tuple(sorted(lines, key=lambda line: (len(line), line))) for journal, lines in found.items()}


def _chains(connection: Connection, companies: Collection[str]) -> list[str]:
    """Return the chains with such a finding about a document of one of these companies, or about none."""
    table = tables.findings.c
    of_company = [table.document.startswith(f"{company}/", autoescape=True) for company in sorted(companies)]
    query = select(table.owner).where(table.code.in_(sorted(CODES)), or_(table.document.is_(None), *of_company))
    return sorted(set(connection.execute(query).scalars()))
