"""Operational data: what people and workers did, which no event of the two systems says.

Kept on the state topic, so that a new store gets it back; a replay does not change it.

* `attempts`: attempt counters and claims.
* `sync_runs`: requests to sync, and their progress.
* `cursors`: the cursors of the pollers.
* `alerts`: the alerts in force.
* `pins`: the pinned environments.
* `state_topic`: the records of the state topic, written and read back.
* `inbox`: commands that wait to be written to their topic.
* `loops`: when each loop of a worker last ran.
"""
