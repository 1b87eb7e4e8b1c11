"""Redis slow, frozen, killed, refusing or emptied: requests go on, limits hold, nothing is counted twice."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import msgspec
import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MaxConnectionsError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
)

from config.schema import State
from providers import tasks
from router.state import connect
from router.state.redis.guard import Away
from router.state.redis.link import Argument
from router.state.redis.scripts import ADMIT, SETTLE, Script
from router.state.redis.store import RedisStore
from router.state.values import Grant, Limits, Refusal, Row, StateError
from router.state.writer import LedgerWriter
from tests.contract.asking import remembered
from tests.contract.servers import Proxy, RedisServer, free_port
from tests.contract.test_keys import until

USD = Decimal
LIMITS = Limits(USD(1), "monthly", 1000)


@pytest.fixture
async def proxy(own_redis: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(own_redis.port) as one:
        yield one


async def opened(url: str) -> RedisStore:
    store = connect(State(url=url))
    assert isinstance(store, RedisStore)
    await store.open()
    return store


@pytest.fixture
async def store(proxy: Proxy) -> AsyncIterator[RedisStore]:
    one = await opened(proxy.url)
    yield one
    await one.aclose()
    async with asyncio.timeout(5):
        await tasks.drain()


async def admit(store: RedisStore, request: str, expected: str = "0.1") -> Grant | Refusal:
    return await store.spend.admit("k", LIMITS, USD(expected), request, 60)


async def spend(store: RedisStore, request: str, cost: str = "0.1") -> None:
    grant = await admit(store, request, cost)
    assert isinstance(grant, Grant)
    store.spend.settle(grant, USD(cost))


async def stopwatch(store: RedisStore, request: str) -> float:
    started = time.monotonic()
    await spend(store, request, "0.01")
    return time.monotonic() - started


async def back(store: RedisStore) -> float:
    started = time.monotonic()
    await until(lambda: store.status().ok, 10)
    return time.monotonic() - started


async def total(store: RedisStore) -> tuple[Decimal, Decimal]:
    await store.flush()
    usage = await store.spend.usage("k")
    return usage.total, usage.reserved


async def test_a_frozen_redis_costs_one_request_a_quarter_second_and_loses_nothing(
    store: RedisStore, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await spend(store, "before", "0.5")
    await store.flush()
    own_redis.freeze()
    first = await stopwatch(store, "first")
    rest = [await stopwatch(store, f"r{number}") for number in range(20)]
    assert first < 0.5
    assert sum(rest) < 0.25
    assert not store.status().ok
    assert isinstance(await admit(store, "much", "0.4"), Refusal), "the last known figures hold"
    assert await remembered(store, "c") is None
    own_redis.thaw()
    assert await back(store) < 2.0
    assert await total(store) == (USD("0.71"), USD(0))
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 2
    assert all(record.exc_info is None for record in caplog.records)


async def test_others_are_not_asked_where_redis_is_away(store: RedisStore, own_redis: RedisServer) -> None:
    store.sticky.put("mine", "x")
    own_redis.freeze()
    asked = store.sticky.ask("c"), store.reasoning.ask("o", ["call"])
    started = time.monotonic()
    assert [await one for one in asked if one is not None] == [None, [None]]
    assert time.monotonic() - started < 0.5
    assert store.sticky.ask("c") is None
    assert store.reasoning.ask("o", ["call"]) is None
    assert store.sticky.known("mine") == "x"
    own_redis.thaw()
    await back(store)


async def test_a_killed_redis_that_returns_is_used_within_two_seconds(
    store: RedisStore, own_redis: RedisServer
) -> None:
    await spend(store, "before")
    await store.flush()
    own_redis.kill()
    for number in range(5):
        await spend(store, f"away{number}")
    own_redis.restart()
    assert await back(store) < 2.0
    assert await total(store) == (USD("0.6"), USD(0))


@pytest.mark.parametrize("lost", [ADMIT, SETTLE], ids=["admit", "settle"])
async def test_an_answer_lost_on_the_way_is_not_counted_twice(
    store: RedisStore, lost: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    script = store._link.script

    async def runs(which: Script, keys: Sequence[str], words: Sequence[Argument]) -> object:
        answer = await script(which, keys, words)
        if which is lost and not done:
            done.append(which.sha)
            raise ConnectionResetError("reset")
        return answer

    monkeypatch.setattr(store._link, "script", runs)
    await spend(store, "r")
    await until(lambda: bool(done))
    await back(store)
    assert await total(store) == (USD("0.1"), USD(0))


async def test_a_settling_that_overtakes_its_admission_leaves_no_reservation(store: RedisStore) -> None:
    """A frozen server may run what was given up after what was sent later."""
    grant = await admit(store, "r")
    assert isinstance(grant, Grant)
    store.spend.settle(grant, USD("0.1"))
    await store.flush()
    assert isinstance(await admit(store, "r"), Grant)
    assert (await store.spend.usage("k")).reserved == 0


async def test_a_slow_redis_is_given_up_and_taken_back(store: RedisStore, proxy: Proxy) -> None:
    proxy.delay = 0.09  # each way
    for number in range(8):
        await spend(store, f"slow{number}", "0.01")
    assert not store.status().ok
    assert await stopwatch(store, "now") < 0.05
    proxy.delay = 0.0
    assert await back(store) < 2.0
    assert await total(store) == (USD("0.09"), USD(0))


async def test_a_hundred_at_once_wait_no_longer_than_one(store: RedisStore, own_redis: RedisServer) -> None:
    own_redis.freeze()
    started = time.monotonic()
    await asyncio.gather(*(spend(store, f"r{number}", "0.001") for number in range(100)))
    assert time.monotonic() - started < 0.6
    own_redis.thaw()
    await back(store)
    assert await total(store) == (USD("0.1"), USD(0))


async def test_a_server_emptied_learns_again_what_was_spent(store: RedisStore, own_redis: RedisServer) -> None:
    await spend(store, "before", "0.9")
    await store.flush()
    own_redis.command("SCRIPT", "FLUSH")
    own_redis.command("FLUSHALL")
    assert isinstance(await admit(store, "much", "0.2"), Refusal)
    assert await total(store) == (USD("0.9"), USD(0))


async def test_a_server_made_a_replica_and_promoted_again(store: RedisStore, own_redis: RedisServer) -> None:
    await spend(store, "before")
    await store.flush()
    own_redis.command("REPLICAOF", "127.0.0.1", str(free_port()))
    await spend(store, "meanwhile")
    assert "ReadOnly" in (store.status().reason or "")
    own_redis.command("REPLICAOF", "NO", "ONE")
    assert await back(store) < 5.0
    assert await total(store) == (USD("0.2"), USD(0))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("refused"),
        ConnectionResetError("reset"),
        TimeoutError("read"),
        MaxConnectionsError("pool"),
        ReadOnlyError("READONLY"),
        BusyLoadingError("LOADING"),
        OutOfMemoryError("OOM"),
        AuthenticationError("WRONGPASS"),
        NoPermissionError("NOPERM"),
        ClusterDownError("CLUSTERDOWN"),
        RedisClusterException("no node"),
        OSError("Name or service not known"),
        ResponseError("unknown"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_every_kind_of_error_opens_the_breaker(
    store: RedisStore, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*words: object) -> object:
        raise error

    monkeypatch.setattr(store._link, "command", fails)
    await spend(store, "r")
    status = store.status()
    assert not status.ok
    assert status.errors == 1
    assert await store.spend.usage("k")
    with pytest.raises(Away):
        await store.ledger.recent(1)
    monkeypatch.undo()
    await back(store)
    assert await total(store) == (USD("0.1"), USD(0))


async def test_a_connection_that_closes_while_it_is_written_to_opens_the_breaker(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def closed(*words: object) -> object:
        raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")

    monkeypatch.setattr(store._link._client, "execute_command", closed)
    assert await stopwatch(store, "r") < 0.2, "it is said at once, not waited for"
    assert "handler is closed" in (store.status().reason or "")
    monkeypatch.undo()
    await back(store)


async def test_cancelled_commands_leave_no_answers_and_no_reservations_behind(store: RedisStore, proxy: Proxy) -> None:
    proxy.delay = 0.01
    rng = random.Random(1)
    for number in range(200):
        store.sticky.put(f"c{number}", f"v{number}")
    await store.flush(5.0)

    async def cut_short(number: int) -> None:
        try:
            async with asyncio.timeout(rng.uniform(0, 0.03)):
                grant = await admit(store, f"r{number}", "0.0001")
                if isinstance(grant, Grant):
                    store.spend.release(grant)
        except TimeoutError:
            pass

    for start in range(0, 200, 20):
        await asyncio.gather(*(cut_short(number) for number in range(start, start + 20)))
    proxy.delay = 0.0
    await back(store)
    for number in range(0, 200, 7):
        assert await remembered(store, f"c{number}") == f"v{number}"
    await store.flush(5.0)
    assert await total(store) == (USD(0), USD(0))


async def test_a_failure_nobody_waits_for_any_more_is_nobodys(store: RedisStore) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    fail = asyncio.Event()

    async def work() -> None:
        await fail.wait()
        raise ConnectionError("gone")

    asked = asyncio.ensure_future(store._guard.call(work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    del asked
    fail.set()
    async with asyncio.timeout(5):
        while any(task.get_name() == "state: redis command" for task in asyncio.all_tasks()):
            await asyncio.sleep(0.01)
    gc.collect()
    assert not complaints


async def test_redis_not_there_at_the_start_is_said(own_redis: RedisServer) -> None:
    port = free_port()
    with pytest.raises(StateError, match=rf"127\.0\.0\.1:{port}"):
        await opened(f"redis://127.0.0.1:{port}/0")


async def test_where_redis_is_not_required_it_is_taken_up_once_it_is_there(own_redis: RedisServer) -> None:
    own_redis.kill()
    store = connect(State(url=own_redis.url, required=False))
    assert isinstance(store, RedisStore)
    started = time.monotonic()
    await store.open()
    writer = LedgerWriter(store.ledger)
    await writer.start(required=False)
    assert time.monotonic() - started < 2
    assert not store.status().ok
    assert "cannot be used" in (store.status().reason or "")
    grant = await admit(store, "r1", "0.1")
    assert isinstance(grant, Grant)
    store.spend.settle(grant, USD("0.1"))
    writer.add(Row("gen-1", time.time(), "m", 200, msgspec.Raw(b"{}")))
    own_redis.restart()
    await back(store)
    await store.flush(5.0)
    await writer.flush()
    assert await total(store) == (USD("0.1"), USD(0))
    assert [row.id for row in await store.ledger.recent(9)] == ["gen-1"]
    await writer.aclose()
    await store.aclose()


async def test_a_frozen_redis_at_the_start_is_said_within_seconds(own_redis: RedisServer) -> None:
    own_redis.freeze()
    started = time.monotonic()
    with pytest.raises(StateError, match="did not answer"):
        await opened(own_redis.url)
    assert time.monotonic() - started < 6


async def test_an_old_version_at_the_start_is_said(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.state.redis.link.OLDEST", (99, 0))
    with pytest.raises(StateError, match=r"is version .*; Turnout needs"):
        await opened(own_redis.url)


@pytest.mark.parametrize("url", ["http://x", "redis://:secret@h", "redis://", "redis+sentinel://h:1", "redis://h:port"])
def test_a_bad_url_is_said_without_repeating_it(url: str) -> None:
    with pytest.raises(StateError) as caught:
        connect(State(url=url))
    assert "secret" not in str(caught.value)
