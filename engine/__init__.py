"""The rules of reconciliation, as pure values and functions.

No broker, no database, no clock: every result is a function of the change events given. In the order of the path of an
event:

* `events`: what a decoded event says.
* `mapping`: map files: which column feeds which field.
* `chains`: records merged from events, joined into chains by links.
* `reconciliation`: what is decided about a chain, and why.
* `errorlog`: the log of errors that Finance's processes report.
* `sync`: what Sync does, and how attempts are counted.
* `alerts`, `calendar`, `cursors`, `money`, `serialization`, `errors`: what several of them share.
"""
