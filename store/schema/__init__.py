"""Tables, databases and bulk statements.

* `tables`: every table of the store.
* `database`: opens and upgrades a store.
* `dialects`: what differs between SQLite and PostgreSQL; no other module asks which of them it uses.
* `bulk_sql`: statements of the write path, each for many rows.
* `case_folding`: case-insensitive prefix indexes.
* `wal_checkpoints`: checkpoints of SQLite's write-ahead log, beside the writer.
* `sqlite_files`: the SQLite files of an installation and their permissions.
"""
