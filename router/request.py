"""What the edge hands to the core beside a request's body: who asks, and what was said in headers."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import msgspec

from router.state.values import Limits


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The owner of a request."""

    name: str | None = None
    """The key's name; None in open mode."""
    digest: str = ""
    """SHA-256 of the key, hexadecimal; "" in open mode."""
    models: tuple[str, ...] = ()
    """Globs of the models it may use; none: all."""
    limits: Limits | None = None
    """None: nothing is counted."""
    admin: bool = False

    def may_use(self, model_id: str) -> bool:
        return not self.models or any(fnmatchcase(model_id, glob) for glob in self.models)


ANYONE = Caller()


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request's surroundings."""

    generation: str
    headers: Mapping[bytes, bytes]
    """By lower-case name."""
    received: float
    """On the loop's clock."""
    caller: Caller = ANYONE
    metadata: bool = False
    """The client asked for `openrouter_metadata`."""

    def header(self, name: bytes, most: int = 500) -> str | None:
        """A header's value for the ledger, cut to `most` characters; None where it is absent or empty."""
        value = self.headers.get(name)
        return value.decode("utf-8", "replace")[:most] if value else None
