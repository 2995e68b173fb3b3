"""The projection store: SQLAlchemy on SQLite and PostgreSQL, one writer, many readers.

* `schema`: tables, databases, bulk statements; `migrations` creates the tables.
* `projection`: the write side: one batch in, one transaction out.
* `queries`: the read side: what pages and commands ask.
* `operational`: what people and workers did, which no event of the two systems says.
* `errorlog`: the error log of Finance's processes.
* `proof`: the canonical dump, self-checks, and the replacement of a store by a rebuilt one.
* `lease`: which worker writes.
* `notices`: rows that must be read again.
"""
