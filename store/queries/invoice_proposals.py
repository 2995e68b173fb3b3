"""Invoice proposals that wait for postings, from current records and links (R56)."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from engine.chains import links
from engine.chains.records import Record, Row
from engine.mapping.compiler import Maps
from engine.reconciliation.chain_facts import ChainFacts
from engine.reconciliation.invoice_proposals import Proposal, unbilled, waiting, waits
from store.projection.batch_projection import BatchProjection
from store.projection.projection_cache import ProjectionCache, load_resident
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites


def waiting_proposals(connection: Connection, maps: Maps, company: str | None) -> list[Proposal]:
    """Return the proposals without lines, of a company or of all, oldest first.

    All proposals, which are few, are read; the records behind those that wait are found through links.
    """
    steps = _ProposalChains(connection, maps)
    proposals = steps.proposals(company)
    naming = steps.naming(proposals)
    sales = steps.sales([row for rows in naming.values() for row in rows])
    chains = steps.chains({sale for found in sales.values() for sale in found})
    found = [
        waiting(proposal, [sales[row.key] for row in naming[pointer]], chains)
        for pointer, proposal in proposals.items()
    ]
    return sorted(found, key=lambda proposal: (proposal.date or "", proposal.company or "", proposal.number))


class _ProposalChains:
    """The steps from proposals to the chains of what they bill, each for all proposals at once."""

    def __init__(self, connection: Connection, maps: Maps) -> None:
        self._maps = maps
        self._rows = ReadYourWrites(connection, UncommittedWrites())
        self._cache = ProjectionCache(0, 0)
        load_resident(self._rows, maps, self._cache)

    def proposals(self, company: str | None) -> dict[str, Row]:
        """Return the waiting proposals by the link that points to them."""
        found = {}
        for _, record in self._rows.records_of(self._maps.of_role("proposal")):
            if record.exists and waits(row := self._row(record)) and company in (None, row.company):
                found.update({links.pointer_to(offer): row for offer in record.refers if offer[0] == "+"})
        return found

    def naming(self, pointers: Iterable[str]) -> dict[str, list[Row]]:
        """Return the staging rows that name each proposal."""
        found: dict[str, list[Row]] = {pointer: [] for pointer in pointers}
        pointer_of = {record: pointer for pointer, record in self._rows.links(found.keys())}
        for row in self._existing(pointer_of):
            found[pointer_of[row.key]].append(row)
        return found

    def sales(self, staging: Sequence[Row]) -> dict[str, list[str]]:
        """Return the unbilled sales behind each staging row, by its key; none if its actual has not arrived."""
        keys = self._actuals({row["actual"] for row in staging if row["actual"]})
        actuals = {row.id: row for row in self._existing(keys)}
        connections = self._existing(record for _, record in self._rows.links(keys))
        return {
            row.key: unbilled(actuals[row["actual"]], connections) if row["actual"] in actuals else []
            for row in staging
        }

    def chains(self, actuals: Iterable[str]) -> dict[str, ChainFacts]:
        """Return the chains of actuals, by the actuals' ids."""
        of = {record.id: record.chain for _, record in self._rows.records(self._actuals(actuals)) if record.chain}
        projection = BatchProjection(self._rows, self._maps, self._cache)
        facts = {
            chain: ChainFacts(chain, inputs.rows, projection)
            for chain, inputs in projection.chain_inputs(set(of.values())).items()
        }
        return {actual: facts[chain] for actual, chain in of.items()}

    def _actuals(self, ids: Iterable[str]) -> list[str]:
        """Return the record keys of actuals in every entity."""
        return [entity_map.prefix + actual for actual in ids for entity_map in self._maps.of_role("actual")]

    def _existing(self, keys: Iterable[str]) -> list[Row]:
        found = sorted(self._rows.records(keys), key=lambda item: item[0])
        return [self._row(record) for _, record in found if record.exists]

    def _row(self, record: Record) -> Row:
        return links.row(record, self._maps.entities[record.entity], self._cache.directory.owner)
