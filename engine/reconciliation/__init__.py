"""The decision about each chain, and its reasons.

* `documents`: the result of a decision: chain, documents, findings.
* `kinds`: the document kinds, and what differs between them.
* `actual_facts`: the facts of a cost actual: its staging rows, its state in Finance, whether it is posted.
* `chain_facts`: the rows of a chain sorted by role, with derived facts, before any decision.
* `document_facts`: the facts of a document by the role of its Finance line.
* `expenses`: the facts of an expense.
* `vendor_invoices`: the facts of a vendor invoice line.
* `positions`: the position of a document, its cause, and the division of its amount.
* `findings`: inconsistencies of a chain besides the positions of its documents.
* `evaluate`: the entry point, from the rows of a chain to its decision.
* `explanations`: labels, explanations and remedies, by code.
* `grace`: when a missing step may be reported.
* `unsynced_actuals`: actuals without a staging row.
* `invoice_proposals`: invoice proposals without lines.
"""
