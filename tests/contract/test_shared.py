"""Conversations, reasoning and health: what is remembered, for how long, and what replicas hear of each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from config.schema import State
from providers import tasks
from router.state import connect
from router.state.base import Store
from router.state.memory import Expiring
from router.state.redis.link import Argument
from router.state.redis.store import RedisStore
from router.state.values import Limits, Note
from tests.contract.asking import recalled, remembered
from tests.contract.servers import Clock, RedisServer
from tests.contract.test_keys import until

ENDPOINT = ("a/model", "moonshot/int4")


async def test_a_conversation_stays_where_it_was_and_moves_when_told(store: Store) -> None:
    assert await remembered(store, "c") is None
    store.sticky.put("c", "moonshot/int4 ✓")
    await store.flush()
    assert await remembered(store, "c") == "moonshot/int4 ✓"
    store.sticky.put("c", "cometapi")
    await store.flush()
    assert await remembered(store, "c") == "cometapi"
    assert await remembered(store, "d") is None


async def test_reasoning_is_remembered_by_call_and_owner(store: Store) -> None:
    store.reasoning.put("owner", ["call_1", "call_2"], "because\u2028\ud83d")
    await store.flush()
    assert await recalled(store, "owner", "call_2") == "because\u2028\ud83d"
    assert await recalled(store, "other", "call_2") is None
    store.reasoning.put("a:b", ["c"], "secret")
    await store.flush()
    assert await recalled(store, "a", "b:c") is None


async def test_a_text_far_too_long_is_not_kept(store: Store) -> None:
    store.reasoning.put("owner", ["call"], "x" * 2_000_000)
    await store.flush()
    assert await recalled(store, "owner", "call") is None


def test_texts_expire_and_are_bounded_by_number_and_length() -> None:
    clock = Clock()
    items = Expiring(clock, 10.0, 3, 100)
    for name in "abcd":
        items.put(name, name)
    assert [items.get(name) for name in "abcd"] == [None, "b", "c", "d"]
    items.put("e", "x" * 99)
    assert [items.get(name) for name in "bcde"] == [None, None, "d", "x" * 99]
    clock.now += 10
    assert items.get("e") is None
    items.put("f", "f")
    assert len(items) == 1


@pytest.fixture
async def pair(redis: RedisServer) -> AsyncIterator[tuple[Store, Store]]:
    """Two replicas on one Redis."""
    stores = (connect(State(url=redis.url)), connect(State(url=redis.url)))
    for one in stores:
        await one.open()
    yield stores
    for one in stores:
        await one.aclose()
    await tasks.drain()


async def test_health_learned_by_one_replica_reaches_the_other_within_two_seconds(pair: tuple[Store, Store]) -> None:
    one, other = pair
    one.exchange.publish(Note("ejected", ENDPOINT, seconds=5.0, ejections=2))
    one.exchange.publish(Note("aside", ("moonshot",), seconds=60.0, reason="key refused"))
    heard: list[Note] = []
    await until(lambda: heard.extend(other.exchange.received()) or len(heard) == 2, 2.0)
    assert [note.kind for note in heard] == ["ejected", "aside"]
    assert heard[0].subject == ENDPOINT
    assert heard[0].ejections == 2
    assert 3.0 < heard[0].seconds <= 5.0
    assert heard[1].reason == "key refused"
    assert one.exchange.received() == []
    assert other.exchange.received() == []


async def test_a_replica_that_joins_hears_what_still_holds(pair: tuple[Store, Store], redis: RedisServer) -> None:
    one, other = pair
    one.exchange.publish(Note("ejected", ENDPOINT, seconds=50.0))
    one.exchange.publish(Note("cooling", ENDPOINT, seconds=0.001))
    await until(lambda: bool(other.exchange.received()), 2.0)
    third = connect(State(url=redis.url))
    await third.open()
    try:
        assert [note.kind for note in third.exchange.received()] == ["ejected"]
    finally:
        await third.aclose()


async def test_one_of_the_fleet_may_probe(pair: tuple[Store, Store]) -> None:
    one, other = pair
    assert await one.exchange.take_probe(ENDPOINT, 30.0)
    assert not await other.exchange.take_probe(ENDPOINT, 30.0)
    assert await other.exchange.take_probe(("a/model", "another"), 30.0)
    other.exchange.end_probe(ENDPOINT)
    await other.flush()
    assert not await other.exchange.take_probe(ENDPOINT, 30.0)
    one.exchange.end_probe(ENDPOINT)
    await one.flush()
    assert await other.exchange.take_probe(ENDPOINT, 30.0)


async def test_a_probe_never_ended_is_free_again_in_time(pair: tuple[Store, Store]) -> None:
    one, other = pair
    assert await one.exchange.take_probe(ENDPOINT, 0.05)
    async with asyncio.timeout(3):
        while not await other.exchange.take_probe(ENDPOINT, 5.0):
            await asyncio.sleep(0.02)


async def test_replicas_count_each_other_and_share_conversations_and_limits(pair: tuple[Store, Store]) -> None:
    one, other = pair
    await until(lambda: one.status().replicas == other.status().replicas == 2)
    one.sticky.put("c", "moonshot")
    one.reasoning.put("o", ["call"], "why")
    await one.flush()
    assert await remembered(other, "c") == "moonshot"
    assert await recalled(other, "o", "call") == "why"
    limits = Limits(Decimal(1), "daily", 2)
    await one.spend.admit("k", limits, Decimal("0.6"), "1", 10)
    refused = await other.spend.admit("k", limits, Decimal("0.6"), "2", 10)
    assert getattr(refused, "limit", None) == "usd"


async def test_where_a_conversation_moved_is_known_everywhere_within_two_seconds(pair: tuple[Store, Store]) -> None:
    one, other = pair
    one.sticky.put("c", "moonshot")
    await until(lambda: other.sticky.known("c") == "moonshot", 2.0)
    other.sticky.put("c", "cometapi")
    await until(lambda: one.sticky.known("c") == "cometapi", 2.0)


async def test_replicas_that_put_against_each_other_come_to_agree(pair: tuple[Store, Store]) -> None:
    one, other = pair
    await until(lambda: one.status().replicas == other.status().replicas == 2)
    for turn in range(20):
        one.sticky.put("c", f"a{turn}", moved=False)
        other.sticky.put("c", f"b{turn}", moved=turn == 0)
        await asyncio.sleep(0.01)
    await until(lambda: one.sticky.known("c") == other.sticky.known("c"), 3.0)
    await one.flush()
    await other.flush()
    await until(lambda: one.sticky.known("c") == other.sticky.known("c"), 2.0)


async def test_what_many_requests_ask_at_once_is_one_command(
    pair: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    assert isinstance(other, RedisStore)
    for number in range(20):
        one.sticky.put(f"c{number}", str(number))
    one.reasoning.put("o", [f"call_{number}" for number in range(20)], "why")
    await one.flush()
    sent: list[Argument] = []
    command = other._link.command

    async def runs(*words: Argument) -> object:
        sent.append(words[0])
        return await command(*words)

    monkeypatch.setattr(other._link, "command", runs)
    asked = [other.sticky.ask(f"c{number % 20}") for number in range(40)]
    thoughts = other.reasoning.ask("o", [f"call_{number}" for number in range(20)])
    assert [await one for one in asked if one is not None] == [str(number % 20) for number in range(40)]
    assert thoughts is not None
    assert await thoughts == ["why"] * 20
    assert sent.count("MGET") == 1


async def test_a_gateway_that_is_alone_may_always_probe(tmp_path: object) -> None:
    store = connect(State(path=f"{tmp_path}/turnout.db"))
    store.exchange.publish(Note("ejected", ENDPOINT, seconds=5.0))
    assert store.exchange.received() == []
    assert await store.exchange.take_probe(ENDPOINT, 30.0)
