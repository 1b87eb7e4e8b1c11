"""A process's copy of the keys, so that a request is not kept waiting for the store."""

from __future__ import annotations

from router.state.values import KeyRecord


class Keyring:
    """The keys as last read, and the version of the store's keys they were read at."""

    def __init__(self) -> None:
        self.version: object = None
        self._keys: dict[str, KeyRecord] = {}

    def get(self, digest: str) -> KeyRecord | None:
        return self._keys.get(digest)

    def replace(self, version: object, records: list[KeyRecord]) -> None:
        self.version = version
        self._keys = {record.hash: record for record in records}

    def put(self, record: KeyRecord) -> None:
        self._keys[record.hash] = record

    def remove(self, digest: str) -> None:
        self._keys.pop(digest, None)
