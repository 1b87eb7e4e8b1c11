"""Keys in SQLite, with a copy in the process that follows what other processes change."""

from __future__ import annotations

import sqlite3

from router.state import codec
from router.state.keyring import Keyring
from router.state.sqlite.database import Database
from router.state.values import KeyRecord


class SqliteKeys:
    """`Keys` on a SQLite file. `refresh` is owed every second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ring = Keyring()

    def known(self, digest: str) -> KeyRecord | None:
        return self._ring.get(digest)

    async def by_digest(self, digest: str) -> KeyRecord | None:
        found = self._ring.get(digest)
        if found is None:
            sql = "SELECT record FROM keys WHERE hash = ?"
            row = await self._database.read(lambda connection: connection.execute(sql, (digest,)).fetchone())
            if row is not None:
                found = codec.key(row[0])
                self._ring.put(found)
        return found

    async def all(self) -> list[KeyRecord]:
        return await self._database.read(_all)

    async def put(self, record: KeyRecord) -> None:
        sql = "INSERT OR REPLACE INTO keys VALUES (?, ?, ?)"
        values = (record.hash, record.created, codec.encode(record))
        await self._database.write(lambda connection: connection.execute(sql, values))
        self._ring.put(record)

    async def delete(self, digest: str) -> bool:
        sql = "DELETE FROM keys WHERE hash = ?"
        gone = await self._database.write(lambda connection: connection.execute(sql, (digest,)).rowcount)
        self._ring.remove(digest)
        return gone > 0

    async def refresh(self) -> None:
        """Read the keys again where another connection has written to the file."""

        def work(connection: sqlite3.Connection) -> tuple[object, list[KeyRecord] | None]:
            version = connection.execute("PRAGMA data_version").fetchone()
            return version, (None if version == self._ring.version else _all(connection))

        version, records = await self._database.read(work)
        if records is not None:
            self._ring.replace(version, records)


def _all(connection: sqlite3.Connection) -> list[KeyRecord]:
    rows = connection.execute("SELECT record FROM keys ORDER BY created, hash").fetchall()
    return [codec.key(record) for (record,) in rows]
