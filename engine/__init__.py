"""The rules of reconciliation, as pure values and functions.

No broker, no database, no clock: every result is a function of the change events given. The subpackages follow the path
of an event:

* `events`: the decoded facts of an event.
* `mapping`: map files, which assign columns to fields.
* `chains`: records merged from events, joined into chains by links.
* `reconciliation`: the position of each document of a chain, its cause and findings.
* `errorlog`: the log of errors that Finance's processes report.
* `sync`: the actions of Sync, and the attempt counter.
* `alerts`, `calendar`, `conversion`, `cursors`, `money`, `serialization`, `errors`: shared by several of them.
"""
