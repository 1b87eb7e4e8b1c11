"""Both stores, Redis being a real server, behind one fixture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from config.schema import State
from providers import tasks
from router.state import connect
from router.state.base import Store
from tests.contract.servers import Clock, RedisServer


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    """An empty server. Not to be stopped."""
    shared_redis.command("FLUSHALL")
    return shared_redis


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that may be frozen and killed. Its writes survive it."""
    server = RedisServer("--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["embedded", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> State:
    if request.param == "embedded":
        return State(path=str(tmp_path / "turnout.db"))
    server: RedisServer = request.getfixturevalue("redis")
    return State(url=server.url)


@pytest.fixture
async def store(settings: State, clock: Clock) -> AsyncIterator[Store]:
    """Either store, open, on a clock of the test's."""
    one = connect(settings, clock=clock)
    await one.open()
    yield one
    await one.aclose()
    async with asyncio.timeout(5):
        await tasks.drain()
