"""The log of errors that Finance's processes report.

* `known_messages`: the catalogue of messages, recognised in both spellings, with their parameters.
* `lifecycle`: whether an error is current or history.
* `posting_periods`: what the ledger calendar says about a posting error.
"""
