"""Keys in Redis, with a copy in the process that follows what other replicas change."""

from __future__ import annotations

from router.state import codec
from router.state.keyring import Keyring
from router.state.redis.exchange import VERSION
from router.state.redis.guard import Away, Guard
from router.state.redis.link import Argument, Link
from router.state.redis.scripts import DELETE_KEY, PUT_KEY
from router.state.values import KeyRecord

KEYS = "turnout:{fleet}:keys"
PATIENCE = 2.0


class RedisKeys:
    """`Keys` in Redis. `follow` is owed with every pulse."""

    def __init__(self, link: Link, guard: Guard) -> None:
        self._link = link
        self._guard = guard
        self._ring = Keyring()

    def known(self, digest: str) -> KeyRecord | None:
        return self._ring.get(digest)

    async def by_digest(self, digest: str) -> KeyRecord | None:
        found = self._ring.get(digest)
        if found is None:
            try:
                raw = await self._guard.call(lambda: self._link.command("HGET", KEYS, digest))
            except Away:
                return None
            if raw is not None:
                found = codec.key(raw)
                self._ring.put(found)
        return found

    async def all(self) -> list[KeyRecord]:
        found = await self._guard.call(lambda: self._link.command("HGETALL", KEYS), patience=PATIENCE)
        records = [codec.key(raw) for raw in found.values()]
        return sorted(records, key=lambda record: (record.created, record.hash))

    async def put(self, record: KeyRecord) -> None:
        words: list[Argument] = [record.hash, codec.encode(record)]
        await self._guard.call(lambda: self._link.script(PUT_KEY, [KEYS, VERSION], words), patience=PATIENCE)
        self._ring.put(record)

    async def delete(self, digest: str) -> bool:
        keys = [KEYS, VERSION]
        gone = await self._guard.call(lambda: self._link.script(DELETE_KEY, keys, [digest]), patience=PATIENCE)
        self._ring.remove(digest)
        return bool(gone)

    async def follow(self, version: int) -> None:
        """Read the keys again where they are no longer of the version read before. Raises Away."""
        if version != self._ring.version:
            self._ring.replace(version, await self.all())
