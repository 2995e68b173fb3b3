"""Outgoing calls to Finance and Dataverse; each attempt is persisted before its call is made.

* `api`: HTTP access to both systems.
* `attempts`: the attempt log as a port, with its in-memory twin.
* `sync_executor`: executes requested syncs, driven by Tenacity.
* `general_journals`, `processes`, `row_refresh`: the calls that sync and re-read requests make.
* `prerequisites`: versions and features of both systems that Sync needs.
* `poll`, `change_events`: rows read from the APIs, as change events.
* `webhook`: sends alerts.
* `errors`: the classes of failed calls, and how each is handled.
"""
