"""One SQLite file: opened, brought to the newest format, written by one thread and read by another."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from router.state.sqlite.check import APPLICATION, VERSION, inspect
from router.state.values import StateError

T = TypeVar("T")

_REQUEST_SUMS = """
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, saved INTEGER NOT NULL, prompt INTEGER NOT NULL,
    cached INTEGER NOT NULL, cache_write INTEGER NOT NULL, reasoning INTEGER NOT NULL, completion INTEGER NOT NULL,
    cost INTEGER NOT NULL"""

MIGRATIONS = (
    f"""
    CREATE TABLE requests (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created REAL NOT NULL, key TEXT NOT NULL, row BLOB NOT NULL
    );
    CREATE INDEX requests_created ON requests (created);
    CREATE INDEX requests_key ON requests (key, seq);
    CREATE TABLE traffic_sums (
        resolution INTEGER NOT NULL, bucket INTEGER NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL,
        {_REQUEST_SUMS}, PRIMARY KEY (resolution, bucket, model, provider)
    ) WITHOUT ROWID;
    CREATE TABLE requests_sums (
        resolution INTEGER NOT NULL, bucket INTEGER NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL,
        key TEXT NOT NULL, app TEXT NOT NULL, {_REQUEST_SUMS},
        PRIMARY KEY (resolution, bucket, model, provider, key, app)
    ) WITHOUT ROWID;
    CREATE TABLE attempts_sums (
        resolution INTEGER NOT NULL, bucket INTEGER NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL,
        tag TEXT NOT NULL, good INTEGER NOT NULL, bad INTEGER NOT NULL, other INTEGER NOT NULL,
        PRIMARY KEY (resolution, bucket, model, provider, tag)
    ) WITHOUT ROWID;
    CREATE TABLE key_sums (key TEXT PRIMARY KEY, name TEXT NOT NULL, cost INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE keys (hash TEXT PRIMARY KEY, created REAL NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE running (replica TEXT PRIMARY KEY) WITHOUT ROWID;
    """,
)
"""What leads from each format to the next. Money is in units of 1e-12 USD; `row` is JSON."""


class Database:
    """Work on the file is handed over as functions of a connection, and awaited."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = _Thread(path, "turnout-sqlite-writer")
        self._reader = _Thread(path, "turnout-sqlite-reader")

    async def open(self) -> None:
        """Raises StateError where the file cannot be used."""
        try:
            await self._writer.start(_prepare)
            await self._reader.start(_open)
        except BaseException:
            await self.aclose()
            raise

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction. Raises StateError; nothing of it is stored then."""
        return await self._writer.run(lambda connection: _transaction(connection, work))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Raises StateError."""
        return await self._reader.run(work)

    async def aclose(self) -> None:
        await self._reader.stop()
        await self._writer.stop()


class _Thread:
    """One connection and the one thread that uses it."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None

    async def start(self, opening: Callable[[Path], sqlite3.Connection]) -> None:
        def work() -> None:
            self._connection = opening(self._path)

        await self._do(work)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise StateError(f"{self._path} is not open.")
        return await self._do(lambda: work(connection))

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except sqlite3.Error as error:
            raise StateError(f"{self._path}: {error}.") from error
        except RuntimeError as error:
            raise StateError(f"{self._path} is closed.") from error

    async def stop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._do(connection.close)
        self._pool.shutdown(wait=False)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.execute("PRAGMA busy_timeout = 5000")
    # With a write-ahead log a crash of the machine may lose the last commits, never the file.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _prepare(path: Path) -> sqlite3.Connection:
    inspect(path)
    connection = _open(path)
    try:
        # Of a new file: a row is a kilobyte, and four to a page write a third more than eight do.
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for number, migration in enumerate(MIGRATIONS[version:], version + 1):
            for statement in migration.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    assert len(MIGRATIONS) == VERSION
    return connection


def _transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return result
