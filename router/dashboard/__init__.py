"""The dashboard: figures of the ledger as pages of HTML. Knows nothing of HTTP."""
