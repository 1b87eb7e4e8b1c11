"""What is kept of a key instead of the key."""

from __future__ import annotations

import hashlib


def digest(key: bytes) -> str:
    """The SHA-256 of a key, in hexadecimal."""
    return hashlib.sha256(key).hexdigest()
