"""The long-running process, and what it reports about itself.

* `projecting`: the projecting role: lease, projection, restart after an outage.
* `handling`: the handling role: sync attempts in several threads.
* `alerting`: evaluates and sends alerts.
* `loops`: periodic tasks, isolated from each other's failures.
* `maps_in_force`: the maps of a running process, and whether the store was built with them.
* `state_topic`: exchanges operational data with the state topic.
* `log_continuity`: whether the log is the one that the store was filled from.
* `status`: the worker's status, for observers.
* `metrics`: Prometheus metrics, liveness and readiness.
* `feed_status`: the companies and feeds that the settings name.
* `signals`: requests to stop from outside.
"""
