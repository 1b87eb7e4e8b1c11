"""The embedded store: limits, conversations and reasoning in memory, ledger and keys in one SQLite file."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from providers.tasks import spawn
from router.state.memory import LocalReasoning, LocalSpend, LocalSticky, NoExchange
from router.state.spend import SpendBook
from router.state.sqlite.database import Database
from router.state.sqlite.keys import SqliteKeys
from router.state.sqlite.ledger import SqliteLedger
from router.state.values import Clock, StateError, Status

KEYS_READ_EVERY = 1.0

_log = logging.getLogger(__name__)


class EmbeddedStore:
    """`Store` of a gateway that is one process."""

    def __init__(self, path: Path, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self._database = Database(path)
        self._book = SpendBook(wall, monotonic)
        self._task: asyncio.Task[None] | None = None
        self._status = Status()
        self.ledger = SqliteLedger(self._database, wall)
        self.keys = SqliteKeys(self._database)
        self.spend = LocalSpend(self._book)
        self.sticky = LocalSticky(monotonic)
        self.reasoning = LocalReasoning(monotonic)
        self.exchange = NoExchange()

    async def open(self) -> None:
        await self._database.open()
        self._book.load(await self.ledger.figures())
        await self.keys.refresh()
        self._task = spawn(self._follow(), "state: keys")

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(KEYS_READ_EVERY)
            try:
                await self.keys.refresh()
            except StateError as error:
                self._failed(str(error))
            else:
                self._status = Status(errors=self._status.errors)

    def _failed(self, reason: str) -> None:
        if self._status.ok:
            _log.warning("the state file cannot be read: %s", reason)
        self._status = Status(False, reason, self._status.errors + 1)

    async def flush(self, seconds: float = 2.0) -> None:
        pass

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        await self._database.aclose()

    def status(self) -> Status:
        return self._status
