"""Proof and replacement of a store.

* `dump`: the canonical dump; two stores are equal when their dumps are.
* `swap`: a rebuilt store in place of the one in use, in one transaction.
* `self_checks`: whether totals match their documents, and what waits in the outbox.
"""
