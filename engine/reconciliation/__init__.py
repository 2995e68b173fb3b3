"""What is decided about a chain, and why.

* `documents`: the results of a decision: chains, documents, findings.
* `chain_facts`: what the rows of a chain say, sorted by role, before anything is judged.
* `positions`: the position of a document, its cause, and how its amount is divided.
* `findings`: what is wrong with a chain beyond the position of its documents.
* `evaluate`: the entry point, from the rows of a chain to its decision.
* `explanations`: the texts for causes and findings.
* `grace`: when something that has not arrived counts as missing.
* `unsynced_actuals`: actuals that are meant for Finance and never reached it.
* `invoice_proposals`: invoice proposals that wait for postings.
"""
