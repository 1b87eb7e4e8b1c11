"""The embedded store: ledger and keys in one SQLite file."""
