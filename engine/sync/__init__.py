"""What Sync does for documents, errors and general journals, as pure decisions.

* `actions`: the actions that follow from the cause of a document.
* `attempts`: the attempt counter, and what follows a failed attempt.
* `prerequisites`: what Sync needs in both systems.
* `commands`: requests of people, as the commands topic carries them.
* `general_journals`: the next step of a general journal from Finance to Dataverse.
"""
