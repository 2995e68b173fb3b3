"""The write side: one batch in, one transaction out.

* `batch_projection`: merges the changes of a batch, matches them into chains, re-evaluates the affected ones.
* `projection_cache`: the caches of the projection that outlive a batch.
* `batch_plan`: the statements of a batch, computed before its transaction begins.
* `writer`: the single writer, which commits a plan together with the offsets of its batch.
* `read_your_writes`: reads of the writer: committed rows, overlaid with the uncommitted writes of the previous batch.
* `recent_cache`: a bounded cache.
* `tile_totals`: the views of a grid as bits, and the materialised totals by day.
* `outgoing`: a record to publish.
"""
