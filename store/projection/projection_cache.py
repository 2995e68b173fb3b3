"""Caches of the projection that outlive a batch."""

from engine.chains import links
from engine.chains.records import Record, Row
from engine.chains.references import Directory
from engine.mapping.compiler import Maps
from store.projection.read_your_writes import ReadYourWrites
from store.projection.recent_cache import RecentCache
from store.projection.tile_totals import PostingKey, PostingTotal, ReconciliationKey, TotalKey, Totals


class ProjectionCache:
    """Write-through caches kept between batches.

    Empty, apart from the resident rows, when a writer acquires the lease.
    """

    def __init__(self, records: int, chains: int) -> None:
        self.records: RecentCache[str, Record] = RecentCache(records)
        self.chains: RecentCache[str, bytes] = RecentCache(chains)
        self.offers: RecentCache[str, list[str]] = RecentCache(records // 4)
        self.totals: RecentCache[TotalKey, Totals] = RecentCache(records)
        self.reconciliations: RecentCache[ReconciliationKey, int] = RecentCache(records)
        self.postings: RecentCache[PostingKey, PostingTotal] = RecentCache(records)
        self.resident: dict[str, Row] = {}
        self.directory = Directory()
        self.waiting: set[str] = set()
        """Keys of open re-read requests."""


def load_resident(rows: ReadYourWrites, maps: Maps, cache: ProjectionCache) -> None:
    """Load the resident rows (companies, currencies, ledger calendars)."""
    resident = [entity_map for entity_map in maps.entities.values() if entity_map.role.resident]
    for key, record in rows.records_of(resident):
        if record.exists:
            cache.resident[key] = links.row(record, maps.entities[record.entity], lambda _guid: None)
    cache.directory = Directory(cache.resident.values())
