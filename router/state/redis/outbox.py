"""Sends to Redis, beside the request, what no request waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from providers.tasks import spawn
from router.state.redis.guard import Away, Guard

Work = Callable[[], Awaitable[object]]

MOST = 10_000
AT_ONCE = 16
EVERY = 0.05
"""Seconds what is not urgent waits at most: under load what comes meanwhile goes together, which costs a fraction."""
PATIENCE = 1.0


class Outbox:
    """Work done soon, or not at all where Redis is away: nothing in here is money."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._work: dict[Work, None] = {}
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = spawn(self._run(), "state: outbox")

    def add(self, work: Work, *, urgent: bool = True) -> None:
        """Never waits. What is there already is not added again."""
        if self._guard.reason is None and len(self._work) < MOST:
            self._work[work] = None
            self._idle.clear()
            self._wake.set()
            if urgent:
                self._hurry.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._hurry.clear()
            while self._work:
                batch = list(self._work)[:AT_ONCE]
                for work in batch:
                    del self._work[work]
                await asyncio.gather(*(self._do(work) for work in batch))
            self._idle.set()
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(EVERY):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def _do(self, work: Work) -> None:
        try:
            await self._guard.call(work, patience=PATIENCE)
        except Away:
            self._work.clear()

    async def flush(self) -> None:
        """Wait until it is empty."""
        self._hurry.set()
        await self._idle.wait()

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
