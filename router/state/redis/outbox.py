"""Sends to Redis, beside the request, what no request waits for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from providers.tasks import spawn
from router.state.redis.guard import Away, Guard

MOST = 10_000
AT_ONCE = 16


class Outbox:
    """Work done soon, or not at all where Redis is away: nothing in here is money."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._work: deque[Callable[[], Awaitable[object]]] = deque(maxlen=MOST)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = spawn(self._run(), "state: outbox")

    def add(self, work: Callable[[], Awaitable[object]]) -> None:
        """Never waits."""
        if self._guard.reason is None:
            self._work.append(work)
            self._idle.clear()
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._work:
                batch = [self._work.popleft() for _ in range(min(AT_ONCE, len(self._work)))]
                await asyncio.gather(*(self._do(work) for work in batch))
            self._idle.set()

    async def _do(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await self._guard.call(work)
        except Away:
            self._work.clear()

    async def flush(self) -> None:
        """Wait until it is empty."""
        await self._idle.wait()

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
