"""What goes out: calls to Finance and Dataverse, each attempt counted before it is made.

* `api`: HTTP access to both systems.
* `attempts`: the attempt log as a port, with its in-memory twin.
* `sync_executor`: executes requested syncs, driven by Tenacity.
* `general_journals`, `processes`, `row_refresh`, `prerequisites`: what is called, and what is needed for it.
* `poll`, `change_events`: rows read from the APIs, as change events.
* `webhook`: sends alerts.
* `errors`: how a call can fail, and what follows.
"""
