"""The projection store: SQLAlchemy on SQLite and PostgreSQL, one writer, many readers.

* `schema`: tables, databases, bulk statements; `migrations` creates the tables.
* `projection`: the write side: one batch in, one transaction out.
* `queries`: the read side, for pages and commands.
* `operational`: data about actions of people and workers, which no event carries.
* `errorlog`: the error log of Finance's processes.
* `proof`: the canonical dump, self-checks, and the swap to a rebuilt store.
* `lease`: the writer's lease, with a fencing token.
* `notices`: re-read requests.
* `clock`: the time of this machine, in microseconds.
"""
