"""The read side: what pages and commands ask. No query waits for the writer.

* `snapshot`: the entry point; each call sees one consistent state.
* `summary`: the tiles of a company.
* `grids`: pages, sums and groups of documents, by keyset.
* `filters`: what a grid can be filtered on.
* `balance`: causes, ageing, trend, and the parts of the integration account's balance.
* `unmatched`: records that only one of the systems has.
* `invoice_proposals`: invoice proposals that wait for postings.
* `fingerprints`: the input fingerprint of a document, which says whether another attempt could succeed.
* `common`: parts of queries that several modules share.
"""
