"""The log of errors that the processes of Finance, and dual-write, report.

* `about_documents`: which errors are about a document.
* `known_messages`: the catalogue of messages, recognised in both published spellings, with their parameters.
* `lifecycle`: whether an error is current, history or deleted.
* `prevalidation`: the errors that Project actuals prevalidation in Finance prevents.
* `posting_periods`: what the ledger calendar adds to a posting error.
"""
