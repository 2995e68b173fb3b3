"""The pages of the workspace, one module a page.

* `summary`: amounts and tiles of a company.
* `grid`, `document`: the grids of documents, and a document with its chain.
* `balance`, `unmatched`: the integration account's balance, and records that only one system has.
* `invoice_proposals`, `general_journals`: invoice proposals and general journals that wait.
* `sync`: previews, progress and history of sync runs.
* `troubleshoot`, `delete_errors`: the error log.
* `operation`: lag, rejected events, feeds.
"""
