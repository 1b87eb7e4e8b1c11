"""Who is calling: static keys by their SHA-256, or anyone in open mode."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from router.errors import Unauthorized


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of a request."""

    name: str | None = None
    """The key's name; None in open mode."""
    models: tuple[str, ...] = ()
    """Globs of the models it may use; none: all."""

    def may_use(self, model_id: str) -> bool:
        return not self.models or any(fnmatchcase(model_id, glob) for glob in self.models)


class Auth(Protocol):
    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Raises Unauthorized, with one and the same message whatever was wrong."""
        ...


def digest(key: bytes) -> str:
    """What is kept of a key: its SHA-256 in hexadecimal."""
    return hashlib.sha256(key).hexdigest()


class Open:
    """Everyone may; only ever on loopback."""

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        return _ANYONE


_ANYONE = Caller()


class Keys:
    """Those who hold a key. Only digests are kept; a key is looked up by its digest, so the time that takes tells
    nothing of any key."""

    def __init__(self, keys: Mapping[str, Caller]) -> None:
        """`keys`: from the SHA-256 of each key in hexadecimal to its owner."""
        self._keys = dict(keys)

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
        found = self._keys.get(digest(secret.strip()))
        if found is None or scheme.lower() != b"bearer":
            raise Unauthorized("No valid API key: send `Authorization: Bearer <your Turnout key>`.")
        return found
