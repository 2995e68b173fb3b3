"""What comes in: the event log, its topics, and the Faust agent that hands its records to the projection in batches.

* `topics`: every topic: contents, key, retention.
* `log`: the event log as a port; `kafka` and `embedded` implement it.
* `codec`: from the bytes of an event to what it says.
* `agents`, `faust_app`, `transport`: the Faust application over an event log.
* `projector`: from a batch of records to the store, and to what is published.
"""
