"""Operational data: actions of people and workers, which no event of the two systems carries.

Copied to the state topic, from which a new store is restored; a replay leaves it unchanged.

* `attempts`: the attempt log: counters, claims, attempts.
* `sync_runs`: sync runs and their progress.
* `cursors`: the cursors of the pollers.
* `alerts`: the alerts in force.
* `pins`: the pinned environments.
* `state_topic`: the records of the state topic, written and restored.
* `inbox`: commands that wait to be written to their topic.
* `loops`: the last run of each loop of a worker.
* `sessions`: the sessions of the workspace; not on the state topic: people sign in again.
"""
