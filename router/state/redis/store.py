"""The shared store, put together: one connection, one guard, and the pulse that keeps replicas in step."""

from __future__ import annotations

import asyncio
import secrets
import time

from providers.tasks import spawn
from router.state.memory import LocalReasoning, LocalSticky
from router.state.redis.address import Address
from router.state.redis.exchange import RedisExchange
from router.state.redis.guard import Away, Guard
from router.state.redis.keys import RedisKeys
from router.state.redis.ledger import RedisLedger, replica_name
from router.state.redis.link import Link
from router.state.redis.outbox import Outbox
from router.state.redis.reads import Reads
from router.state.redis.shared import RedisReasoning, RedisSticky
from router.state.redis.spend import RedisSpend
from router.state.spend import SpendBook
from router.state.values import Clock, StateError, Status

PULSE = 0.5
"""Seconds between two pulses; while Redis is away, between two probes."""
SETTLING = 0.05
"""Seconds news is held for more of it."""


class RedisStore:
    """`Store` of any number of gateways.

    `kept`: days a row stays. `required`: whether `open` fails where Redis cannot be used; else it is taken up
    once it can be. `now`: unix time instead of Redis's own clock, for tests.
    """

    def __init__(
        self,
        address: Address,
        password: str | None,
        *,
        kept: float = 90.0,
        required: bool = True,
        monotonic: Clock = time.monotonic,
        now: Clock | None = None,
    ) -> None:
        wall = time.time if now is None else now
        self.replica = replica_name(secrets.token_hex(6))
        self._link = Link(address, password)
        self._guard = Guard(self._link, time.monotonic)
        self._outbox = Outbox(self._guard)
        self._task: asyncio.Task[None] | None = None
        self._required = required
        self._joined = False
        """Whether Redis was found fit, and what must be there was made."""
        book = SpendBook(wall, monotonic)
        self.spend = RedisSpend(self._link, self._guard, book, monotonic, lambda: self.exchange.replicas, now)
        self.keys = RedisKeys(self._link, self._guard)
        self.ledger = RedisLedger(self.replica, self._link, self._guard, kept, wall)
        reads = Reads(self._link, self._guard)
        shared = (self._link, self._guard, self._outbox, reads)
        self.sticky = RedisSticky(*shared, LocalSticky(monotonic))
        self.reasoning = RedisReasoning(*shared, LocalReasoning(monotonic))
        self.exchange = RedisExchange(self.replica, self._link, self._guard, self._outbox, self.sticky.hear)

    async def open(self) -> None:
        try:
            await self._join()
        except StateError as error:
            if self._required:
                await self._link.aclose()
                raise
            self._guard.refuse(str(error))
        self._outbox.start()
        self.spend.start()
        self._task = spawn(self._beat(), "state: pulse")

    async def _join(self) -> None:
        """Raises StateError."""
        await self._link.open()
        await self._guard.probe()
        await self.ledger.open()
        await self.keys.follow(await self.exchange.pulse())
        self._joined = True

    async def _join_late(self) -> None:
        try:
            await self._join()
        except StateError as error:
            self._guard.refuse(str(error))

    async def _beat(self) -> None:
        while True:
            try:
                async with asyncio.timeout(PULSE):
                    await self.exchange.news.wait()
                    await asyncio.sleep(SETTLING)
            except TimeoutError:
                pass
            if not self._joined:
                await self._join_late()
                continue
            await self._guard.probe()
            if self._guard.reason is None:
                await self._pulse()
            else:
                self.exchange.news.clear()

    async def _pulse(self) -> None:
        try:
            await self.keys.follow(await self.exchange.pulse())
        except Away:
            return

    async def flush(self, seconds: float = 2.0) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.spend.flush()
                await self._outbox.flush()
        except TimeoutError:
            return

    async def aclose(self) -> None:
        if self._task is None:
            return
        await self.flush()
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None
        await self.spend.aclose()
        await self._outbox.aclose()
        await self._link.aclose()

    def status(self) -> Status:
        guard = self._guard
        return Status(guard.reason is None, guard.reason, guard.errors, self.exchange.replicas)
