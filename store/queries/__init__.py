"""The read side, for pages and commands. No query waits for the writer.

* `snapshot`: the entry point; each call sees one consistent state.
* `rows`: a row of a grid, a page, a chain, as they are shown.
* `summary`: the tiles of a company.
* `grid_query`: a query for a grid.
* `grids`: pages of documents, by keyset pagination.
* `grid_totals`: totals and groups of documents.
* `access_paths`: conditions for which the planner chooses the right index.
* `filters`: the filters of a grid.
* `balance`: causes, aging, trend, and the parts of the balance of the integration account.
* `unmatched`: records that only one of the systems has.
* `invoice_proposals`: invoice proposals that wait for postings.
* `fingerprints`: the input fingerprint of a document, which changes if another attempt could succeed.
* `common`: parts of queries that several modules share.
"""
