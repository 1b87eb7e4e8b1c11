"""How each kind of upstream speaks: pure functions from bytes to bytes."""
