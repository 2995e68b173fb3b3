"""The migrations of the store, run by `store.schema.database.migrate`."""
