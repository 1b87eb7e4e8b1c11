"""The same store behind a password, on a cluster and behind Sentinels."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest

from config.schema import State
from router.state import connect
from router.state.redis.address import Address, parse
from router.state.values import Grant, KeyRecord, Limits, Query, Row, StateError
from tests.contract.asking import remembered
from tests.contract.servers import RedisServer, free_port
from tests.contract.test_keys import until


async def exercised(url: str, password: str | None = None) -> None:
    """Everything once."""
    store = connect(State(url=url), password)
    await store.open()
    try:
        for number in range(5):
            grant = await store.spend.admit(f"key{number}", Limits(Decimal(1), "daily", 5), Decimal("0.1"), "r", 9)
            assert isinstance(grant, Grant)
            store.spend.settle(grant, Decimal("0.2"))
            store.sticky.put(f"c{number}", "x")
            store.exchange.end_probe(("a", str(number)))
        await store.flush()
        assert (await store.spend.usage("key3")).total == Decimal("0.2")
        assert await remembered(store, "c3") == "x"
        await store.ledger.append([Row("gen-1", 1e9, "m", 200, msgspec.Raw(b"{}"), key="k")])
        assert await store.ledger.generation("gen-1") is not None
        assert await store.ledger.totals(Query(0.0, ("model",))) == []
        assert [row.id for row in await store.ledger.recent(5)] == ["gen-1"]
        await store.keys.put(KeyRecord("h", "n", "l", 1.0))
        assert await store.keys.by_digest("h")
        assert store.status().ok, store.status().reason
    finally:
        await store.aclose()


async def cluster() -> RedisServer:
    """One node with every slot."""
    server = RedisServer("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    await agreed(server)
    return server


async def agreed(server: RedisServer) -> None:
    async with asyncio.timeout(10):
        while b"cluster_state:ok" not in server.command("CLUSTER", "INFO"):
            await asyncio.sleep(0.05)


async def test_a_cluster() -> None:
    server = await cluster()
    try:
        await exercised(f"redis+cluster://127.0.0.1:{server.port}")
    finally:
        server.close()


async def gone_on_without(url: str, server: RedisServer, *, returns: bool = True) -> None:
    """Limits are decided here while it is away, and charged once it, or who takes its place, is there."""
    store = connect(State(url=url))
    await store.open()
    try:
        server.kill()
        for number in range(3):
            grant = await store.spend.admit("k", Limits(Decimal(1), "daily"), Decimal("0.1"), f"r{number}", 60)
            assert isinstance(grant, Grant)
            store.spend.settle(grant, Decimal("0.1"))
        assert not store.status().ok
        assert store.sticky.ask("c") is None
        if returns:
            server.restart()
        await until(lambda: store.status().ok, 20)
        await store.flush(5.0)
        assert (await store.spend.usage("k")).total == Decimal("0.3")
    finally:
        await store.aclose()


async def test_a_cluster_that_dies_is_gone_on_without() -> None:
    server = await cluster()
    try:
        await gone_on_without(f"redis+cluster://127.0.0.1:{server.port}", server)
    finally:
        server.close()


async def test_a_primary_that_dies_behind_sentinels_is_gone_on_without() -> None:
    primary = RedisServer()
    sentinel = RedisServer("--sentinel", config=f"sentinel monitor main 127.0.0.1 {primary.port} 1\n")
    try:
        await gone_on_without(f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0", primary)
    finally:
        sentinel.close()
        primary.close()


async def test_the_replica_that_sentinels_promote_is_taken_up() -> None:
    primary = RedisServer()
    replica = RedisServer("--replicaof", "127.0.0.1", str(primary.port))
    watch = f"sentinel monitor main 127.0.0.1 {primary.port} 1\nsentinel down-after-milliseconds main 500\n"
    sentinel = RedisServer("--sentinel", config=watch)
    try:
        async with asyncio.timeout(20):
            # Sentinel reads a primary's replicas from its INFO, every ten seconds.
            while b"name" not in sentinel.command("SENTINEL", "REPLICAS", "main"):
                await asyncio.sleep(0.05)
        await gone_on_without(f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0", primary, returns=False)
        assert b"role:master" in replica.command("INFO", "replication")
    finally:
        for server in (sentinel, replica, primary):
            server.close()


async def test_sentinels() -> None:
    primary = RedisServer()
    sentinel = RedisServer("--sentinel", config=f"sentinel monitor main 127.0.0.1 {primary.port} 1\n")
    try:
        await exercised(f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0")
        with pytest.raises(StateError, match="cannot be used"):
            await exercised(f"redis+sentinel://127.0.0.1:{sentinel.port}/another")
    finally:
        sentinel.close()
        primary.close()


async def test_a_password() -> None:
    server = RedisServer("--requirepass", "s3cret-canary")
    try:
        await exercised(server.url, "s3cret-canary")
        for wrong in (None, "wrong-canary"):
            with pytest.raises(StateError) as caught:
                await exercised(server.url, wrong)
            assert "canary" not in str(caught.value)
    finally:
        server.close()


def test_the_forms_of_a_url() -> None:
    assert parse("redis://h") == Address("single", False, (("h", 6379),))
    assert parse("rediss://u@h:1/3") == Address("single", True, (("h", 1),), 3, "", "u")
    assert parse("redis://[::1]:7/0") == Address("single", False, (("::1", 7),))
    assert parse("redis+sentinel://a,b:2/main/4") == Address("sentinel", False, (("a", 26379), ("b", 2)), 4, "main")
    assert parse("rediss+cluster://a:1,b:2") == Address("cluster", True, (("a", 1), ("b", 2)))
