"""Where Redis is, in the state layer's own words."""

from __future__ import annotations

from config.redis_address import FORMS, Address, Malformed
from config.redis_address import parse as _parse
from router.state.values import StateError

__all__ = ["Address", "parse"]


def parse(url: str) -> Address:
    """Raises StateError, which does not repeat the URL: a password might be in it."""
    try:
        return _parse(url)
    except Malformed as error:
        raise StateError(f"state.url is not a Redis URL ({error}); it must be {FORMS}.") from None
