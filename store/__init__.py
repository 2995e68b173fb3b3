"""The projection store: SQLAlchemy tables on SQLite and PostgreSQL, the one writer, and the queries.

* `tables`: every table on one page; `migrations/` makes them.
* `database`: opening a store, and refusing one that is not what it seems.
* `unit`, `writer`: one batch of events, applied in one transaction.
* `queries` with `summary`, `grids` and `selection`, and `dump`: what is read.
"""
