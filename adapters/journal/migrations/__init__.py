"""The journal's schema, version by version, for SQLite and PostgreSQL; `adapters.journal.migrate` runs it."""
