"""The upstream hop: one protocol, two engines."""
