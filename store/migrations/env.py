"""Alembic's entry: migrations run in the transaction that `store.schema.database.migrate` opened, or are written as
SQL.
"""

from alembic import context

from store.schema.tables import metadata

attributes = context.config.attributes
if context.is_offline_mode():
    context.configure(dialect_name=attributes["dialect"], target_metadata=metadata)
else:
    context.configure(connection=attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
