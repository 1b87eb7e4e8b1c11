"""The keys of the configuration file and those made at run time, with what they have spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from router.state.base import Store
from router.state.values import KeyRecord, KeyUsage


class KeyBook:
    """Reads keys. Raises StateError."""

    def __init__(self, store: Store, static: Callable[[], Sequence[KeyRecord]]) -> None:
        self._store = store
        self._static = static

    async def all(self) -> list[KeyRecord]:
        """Those of the file first."""
        return [*self._static(), *await self._store.keys.all()]

    async def usage(self, digest: str) -> KeyUsage:
        return await self._store.spend.usage(digest)
