"""Talking to one upstream: its dialect (pure) and its transport (I/O)."""
