"""Who is calling: keys by their SHA-256, or anyone in open mode."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from router.digest import digest
from router.errors import Unauthorized
from router.request import ANYONE, Caller
from router.state.base import Keys as KeyStore
from router.state.values import KeyRecord


class Auth(Protocol):
    async def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Raises Unauthorized, with one and the same message whatever was wrong."""
        ...

    async def owner(self, headers: Mapping[bytes, bytes]) -> Caller:
        """A caller, or the administrator: whoever may look at a key's own figures."""
        ...

    async def administrator(self, headers: Mapping[bytes, bytes]) -> Caller:
        """The administrator alone."""
        ...


def presented(headers: Mapping[bytes, bytes]) -> str:
    """The digest of the key a request brings; of an empty one where it brings none."""
    scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
    return digest(secret.strip() if scheme.lower() == b"bearer" else b"")


ADMINISTRATOR = Caller(name="admin", admin=True)


class Administrator:
    """Whoever holds the administrator's key."""

    def __init__(self, admin: str | None) -> None:
        """`admin`: the digest of the administrator's key, or None where there is none."""
        self._admin = admin

    async def administrator(self, headers: Mapping[bytes, bytes]) -> Caller:
        if not self.holds(headers):
            raise refused()
        return ADMINISTRATOR

    def holds(self, headers: Mapping[bytes, bytes]) -> bool:
        return self._admin is not None and hmac.compare_digest(presented(headers), self._admin)


class Open(Administrator):
    """Everyone may complete; only ever on loopback. Keys are still the administrator's alone."""

    async def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        return ANYONE

    async def owner(self, headers: Mapping[bytes, bytes]) -> Caller:
        return ADMINISTRATOR if self.holds(headers) else ANYONE


class Keys(Administrator):
    """Those who hold a key: the file's, the administrator's, and those made at run time.

    Only digests are kept. A key is looked up by its digest, so the time that takes tells nothing of any key.
    """

    def __init__(
        self,
        static: Mapping[str, Caller],
        admin: str | None,
        made: KeyStore,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`static`: owners by digest."""
        super().__init__(admin)
        self._static = static
        self._made = made
        self._wall = wall

    async def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        brought = presented(headers)
        found = self._static.get(brought)
        if found is not None:
            return found
        record = self._made.known(brought) or await self._made.by_digest(brought)
        if record is None or not record.usable(self._wall()):
            raise refused()
        return caller_of(record)

    async def owner(self, headers: Mapping[bytes, bytes]) -> Caller:
        return ADMINISTRATOR if self.holds(headers) else await self.caller(headers)


def refused() -> Unauthorized:
    """The one answer to every kind of bad key."""
    return Unauthorized("No valid API key: send `Authorization: Bearer <your Turnout key>`.")


def caller_of(record: KeyRecord) -> Caller:
    limited = record.limit is not None or record.rpm is not None
    return Caller(record.name, record.hash, record.models, record.limits if limited else None)
