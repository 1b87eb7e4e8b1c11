"""Carries rows to the ledger in batches, off the request path."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque

from providers.tasks import spawn
from router.state.base import Ledger
from router.state.values import Row, StateError

EVERY = 0.5
"""Seconds a row waits at most while the ledger is there."""
AT_ONCE = 500
MOST = 50_000
"""Rows that wait at most; of more, the oldest are lost and counted."""
DRAIN = 5.0
"""Seconds the end of the process waits for what is left."""

_log = logging.getLogger(__name__)


class LedgerWriter:
    """`add` rows; `start` before, `aclose` after."""

    def __init__(self, ledger: Ledger) -> None:
        self.lost = 0
        self._ledger = ledger
        self._replica = secrets.token_hex(8)
        self._rows: deque[Row] = deque()
        self._batch: list[Row] = []
        self._writing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._closing = False
        self._failing = False
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Rows not yet stored."""
        return len(self._rows) + len(self._batch)

    async def start(self, *, required: bool = True) -> None:
        """Raises StateError if `required`; else the ledger may come later. Logs where the last run did not end as it
        should."""
        try:
            await self._begin()
        except StateError as error:
            if required:
                raise
            self._said(str(error))
        self._task = spawn(self._run(), "state: ledger writer")

    async def _begin(self) -> None:
        if self._begun:
            return
        if await self._ledger.begin(self._replica):
            _log.warning("the last run ended without a shutdown: requests of its last second may be missing")
        self._begun = True

    def add(self, row: Row) -> None:
        """Take a row over. Never waits, never raises."""
        rows = self._rows
        rows.append(row)
        waiting = len(rows)
        if waiting > MOST:
            rows.popleft()
            self.lost += 1
        if waiting >= AT_ONCE:
            self._wake.set()

    async def _run(self) -> None:
        while not self._closing:
            try:
                async with asyncio.timeout(EVERY):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self._write()

    async def _write(self) -> None:
        async with self._writing:
            while self._batch or self._rows:
                for _ in range(min(len(self._rows), AT_ONCE - len(self._batch))):
                    self._batch.append(self._rows.popleft())
                try:
                    await self._begin()
                    await self._ledger.append(self._batch)
                except StateError as error:
                    self._said(str(error))
                    return
                self._batch = []
                self._said(None)

    def _said(self, failure: str | None) -> None:
        """Log changes only: an outage is two lines, not one a second."""
        if failure is not None and not self._failing:
            _log.warning("the ledger cannot be written: %s Rows are kept until it can.", failure)
        elif failure is None and self._failing:
            _log.info("the ledger is written again; rows lost: %d", self.lost)
        self._failing = failure is not None

    async def flush(self) -> None:
        """Store what is there now, as far as the ledger can be written."""
        await self._write()

    async def aclose(self) -> None:
        """Store what is left, within a few seconds, and leave a mark that nothing is missing."""
        if self._task is None:
            return
        self._closing = True
        self._wake.set()
        try:
            async with asyncio.timeout(DRAIN):
                await asyncio.wait([self._task])
                await self._write()
                if not self.waiting and not self.lost:
                    await self._ledger.end(self._replica)
        except (TimeoutError, StateError) as error:
            _log.error("the ledger was not written to the end, %d rows are lost: %s", self.waiting, error)
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
