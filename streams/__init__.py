"""The event log, its topics, and the Faust application that projects its records in batches.

* `topics`: every topic: contents, key, retention.
* `log`: the event log as a port; `kafka` and `embedded` implement it.
* `codec`: decodes the bytes of an event into facts.
* `agents`: the agent, and the steps that it runs for each batch: decode, merge, match, detect, commit, publish.
* `faust_app`, `transport`: the Faust application over an event log.
* `projector`: the projection that the agent works on: decodes, publishes, and does the pending work between batches.
* `committer`: the thread that commits one batch while the next one is prepared.
"""
