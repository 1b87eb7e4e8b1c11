"""A process that is too busy to look does not take that for Redis being slow; a Redis that is slow is noticed all the
same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from config.schema import State
from router.state import connect
from router.state.base import Store
from router.state.redis.lateness import EVERY, Lateness
from router.state.values import Grant, Limits
from tests.contract.servers import Clock, Proxy, RedisServer

LIMITS = Limits(Decimal(1), "monthly")


@asynccontextmanager
async def busy(seconds: float) -> AsyncIterator[None]:
    """Every turn of the event loop takes so long."""

    async def block() -> None:
        while True:
            time.sleep(seconds)
            await asyncio.sleep(0)

    blocking = asyncio.ensure_future(block())
    try:
        yield
    finally:
        blocking.cancel()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = connect(State(url=url))
    await store.open()
    yield store
    await store.aclose()


async def admit(store: Store, count: int) -> None:
    for number in range(count):
        granted = await store.spend.admit("k", LIMITS, Decimal("0.01"), f"r{number}", 60)
        assert isinstance(granted, Grant)


@pytest.mark.parametrize(("seconds", "count"), [(0.15, 1), (0.03, 6)], ids=["no answer", "slow answers"])
async def test_a_busy_process_does_not_take_redis_for_away(redis: RedisServer, seconds: float, count: int) -> None:
    async with opened(redis.url) as store:
        async with busy(seconds):
            await admit(store, count)
            status = store.status()
        assert (status.ok, status.errors) == (True, 0), status.reason


async def test_a_busy_process_notices_that_redis_does_not_answer(redis: RedisServer) -> None:
    async with Proxy(redis.port) as proxy, opened(proxy.url) as store:
        proxy.silent = True
        async with busy(0.03), asyncio.timeout(10):
            await admit(store, 1)
            assert not store.status().ok
        proxy.silent = False


class Timers:
    """An event loop's timers: set, cancelled, and fired by hand."""

    def __init__(self) -> None:
        self.set: list[Callable[[], None]] = []
        self._loop = asyncio.new_event_loop()

    def later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        assert seconds == EVERY
        self.set.append(callback)
        return asyncio.TimerHandle(0.0, callback, (), self._loop)

    def close(self) -> None:
        self._loop.close()


def test_what_a_timer_is_late_by_is_added_up_while_somebody_watches() -> None:
    clock, timers = Clock(0.0), Timers()
    lateness = Lateness(clock, timers.later)
    clock.now = 50.0
    assert lateness.watch() == 0.0
    clock.now += EVERY
    timers.set.pop()()
    assert lateness.seconds() == 0.0
    clock.now += EVERY + 0.5
    assert lateness.seconds() == pytest.approx(0.5), "before its timer has fired, too"
    timers.set.pop()()
    assert lateness.watch() == pytest.approx(0.5)
    clock.now += EVERY + 0.25
    lateness.unwatch()
    lateness.unwatch()
    clock.now += 100.0
    assert lateness.seconds() == pytest.approx(0.75)
    timers.close()
