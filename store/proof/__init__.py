"""Proof and replacement of a store.

* `dump`: the canonical dump; two stores are equal if their dumps are.
* `swap`: swap of a rebuilt store for the one in use, in one transaction.
* `self_checks`: whether totals match their documents, and the backlog of the outbox.
"""
