"""The decisions of Sync for documents, errors and general journals, as pure functions.

* `actions`: the actions that follow from the cause of a document.
* `attempts`: the attempt counter, and the state after each attempt.
* `prerequisites`: the prerequisites of Sync in both systems.
* `commands`: the requests of people on the commands topic.
* `general_journals`: the next step of a general journal from Finance to Dataverse.
"""
