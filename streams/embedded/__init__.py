"""The event log in one SQLite file, for a single machine.

* `log`: the event log port on that file.
* `lock`: the lock that admits one writer.
* `blocks`: the layout of the file: tables, blocks, checksums.
* `salvage`: verifies a file, and copies what is intact into a new one.
* `sqlite_pages`: reads rows from the pages of a damaged file.
"""
