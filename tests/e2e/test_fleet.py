"""Several gateway processes on one Redis are as one, and one that is killed leaves nothing wrong behind."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from config.schema import State
from providers.sandbox import Answer, Hang, Slow, Tokens, server_error
from router.digest import digest
from router.state import connect
from router.state.base import Store
from tests.contract.servers import RedisServer
from tests.e2e.harness import MODEL, Bench, Offer
from tests.e2e.replicas import AS_ADMIN, KEY, Replica, replicas
from tests.e2e.talk import ask, request, talk

PRICE = {"price": {"prompt": 0, "completion": 0, "request": "0.2"}}
"""Known before and after, so that a budget holds a whole number of requests."""
LAPTOP = digest(KEY.encode())


async def within(seconds: float, holds: Any) -> float:
    """Seconds until something held."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)
    return time.monotonic() - started


@pytest.fixture
async def shared(redis: RedisServer) -> AsyncIterator[Store]:
    """What is in Redis, for the test to look at."""
    store = connect(State(url=redis.url))
    await store.open()
    yield store
    await store.aclose()


async def test_a_budget_of_five_requests_serves_five_of_a_hundred_at_once_over_two_processes(
    bench: Bench, redis: RedisServer, tmp_path: Path
) -> None:
    box = await bench.box()
    offers = [Offer(box, "only", endpoint=PRICE)]
    async with replicas(2, offers, tmp_path, {"url": redis.url}, key={"limit_usd": 1}) as pair:
        said = await asyncio.gather(*(pair[number % 2].ask() for number in range(100)))
        assert sorted(one.status for one in said) == [200] * 5 + [402] * 95
        assert len(box.requests) == 5


@pytest.mark.parametrize("kind", ["embedded", "redis"])
async def test_after_a_kill_the_counter_is_the_ledger_and_no_reservation_is_left(
    bench: Bench, redis: RedisServer, tmp_path: Path, kind: str
) -> None:
    box = await bench.box()
    state: dict[str, Any] = {"url": redis.url} if kind == "redis" else {}
    settings = State(path=str(tmp_path / "turnout.db"), **state)
    limits = {"limit_usd": 4}
    common: dict[str, Any] = {"key": limits, "timeouts": {"total": 1, "first_token": 1, "idle": 1}}
    offers = [Offer(box, "only", endpoint=PRICE)]
    async with replicas(1, offers, tmp_path, state, **common) as (gateway,):
        for _ in range(5):
            assert (await gateway.ask()).status == 200
        await asyncio.sleep(1.2)
        box.always(Hang())
        hanging = [asyncio.ensure_future(gateway.ask()) for _ in range(10)]
        await box.until(lambda: len(box.requests) == 15)
        await gateway.end(signal.SIGKILL)
        await asyncio.gather(*hanging, return_exceptions=True)
    box.always(None)
    async with replicas(1, offers, tmp_path, state, **common) as (gateway,):
        # What the killed process had reserved ends with its leases: timeouts.total and five seconds.
        took = await within(10, lambda: serves(gateway, 15))
        assert (await gateway.ask()).status == 402
        assert "without a shutdown" in gateway.log.read_text()
        await gateway.end()
        print(f"{kind}: reservations of the killed process were gone after {took:.1f} s")
    store = connect(settings)
    await store.open()
    rows = await store.ledger.recent(1000)
    usage = await store.spend.usage(LAPTOP)
    assert len([row for row in rows if row.status == 200]) == 20
    assert usage.total == sum((row.cost for row in rows), Decimal(0)) == Decimal("4.0")
    assert usage.reserved == 0
    await store.aclose()


async def serves(gateway: Replica, count: int) -> bool:
    """Whether so many more were served, all told."""
    while (await gateway.ask()).status == 200:
        pass
    return await gateway.metric('turnout_requests_total{model="' + MODEL) >= count


async def test_what_one_finds_out_of_a_provider_the_other_uses(
    bench: Bench, redis: RedisServer, tmp_path: Path
) -> None:
    bad, good = await bench.box(), await bench.box()
    bad.always(server_error())
    offers = [Offer(bad, "bad"), Offer(good, "good")]
    more = {
        "preferences": {"default": {"order": ["bad"]}},
        "health": {"breaker_ejection": 30, "breaker_ejection_max": 30},
    }
    async with replicas(2, offers, tmp_path, {"url": redis.url}, **more) as (one, other):
        for _ in range(5):
            assert (await one.ask()).json["provider"] == "Good"
        asked = len(bad.requests)
        assert asked == 5

        async def ejected() -> bool:
            return await other.metric(f'turnout_endpoint_state{{model="{MODEL}",provider="bad",state="ejected"') == 1

        took = await within(2, ejected)
        assert (await other.ask()).json["provider"] == "Good"
        assert len(bad.requests) == asked
        print(f"the other replica knew after {took:.2f} s")


async def test_a_conversation_goes_on_at_the_same_endpoint_whichever_replica_it_comes_to(
    bench: Bench, redis: RedisServer, tmp_path: Path
) -> None:
    boxes = [await bench.box() for _ in range(4)]
    offers = [Offer(box, f"p{number}") for number, box in enumerate(boxes)]
    async with replicas(2, offers, tmp_path, {"url": redis.url}) as pair:
        for session in range(8):

            async def turn(number: int, name: str = f"s{session}") -> str:
                return str((await pair[number % 2].ask(session_id=name)).json["provider"])

            async def stored(count: int = session + 1) -> bool:
                return redis.command("KEYS", "turnout:*:sticky:*").startswith(b"*%d\r" % count)

            said = [await turn(0)]
            # A client is told before the other replica can be.
            await within(2, stored)
            said += [await turn(number) for number in range(1, 4)]
            assert len(set(said)) == 1, said


async def test_of_all_replicas_one_request_probes(bench: Bench, redis: RedisServer, tmp_path: Path) -> None:
    bad, good = await bench.box(), await bench.box()
    bad.always(server_error())
    offers = [Offer(bad, "bad"), Offer(good, "good")]
    more = {
        "preferences": {"default": {"order": ["bad"]}},
        "health": {"breaker_ejection": 2, "breaker_ejection_max": 2},
    }
    async with replicas(2, offers, tmp_path, {"url": redis.url}, **more) as pair:
        for _ in range(5):
            await pair[0].ask()
        bad.always(Hang())
        await asyncio.sleep(2.5)
        asked = len(bad.requests)
        said = [asyncio.ensure_future(pair[number % 2].ask()) for number in range(20)]
        await within(5, lambda: _done(said, 19))
        assert len(bad.requests) == asked + 1
        for one in said:
            one.cancel()
        await asyncio.gather(*said, return_exceptions=True)
        bad.always(None)

        async def used_again() -> bool:
            providers = [(await replica.ask()).json["provider"] for replica in pair]
            return providers == ["Bad", "Bad"]

        await within(10, used_again)


async def _done(tasks: list[asyncio.Future[Any]], count: int) -> bool:
    return sum(task.done() for task in tasks) >= count


async def test_a_key_made_at_one_is_good_at_the_other_and_revoked_within_two_seconds(
    bench: Bench, redis: RedisServer, tmp_path: Path
) -> None:
    box = await bench.box()
    async with replicas(2, [Offer(box, "only")], tmp_path, {"url": redis.url}) as (one, other):
        made = (await one.post("/v1/keys", {"name": "ci"})).json
        secret, hash_ = made["key"], made["data"]["hash"]
        assert (await other.ask(key=secret)).status == 200
        path = f"DELETE /v1/keys/{hash_} HTTP/1.1\r\nhost: x\r\nauthorization: {AS_ADMIN['authorization']}\r\n\r\n"
        async with talk(one) as conversation:  # type: ignore[arg-type]
            await conversation.send(path.encode())
            assert (await conversation.said()).json["deleted"] is True

        async def refused() -> bool:
            return (await other.ask(key=secret)).status == 401

        print(f"refused elsewhere after {await within(2, refused):.2f} s")
        assert (await one.ask(key=secret)).status == 401


async def test_a_conversation_stays_with_its_endpoint_whichever_replica_is_asked(
    bench: Bench, redis: RedisServer, tmp_path: Path
) -> None:
    boxes = [await bench.box() for _ in range(3)]
    for box in boxes:
        box.answer(Answer(content="ok", tokens=Tokens(prompt=1000, cached=500, completion=10)))
    offers = [Offer(box, slug) for box, slug in zip(boxes, ("a", "b", "c"), strict=True)]
    async with replicas(2, offers, tmp_path, {"url": redis.url}) as (one, other):
        firsts = [(await one.ask(session_id=f"s{number}")).json["provider"] for number in range(12)]
        assert len(set(firsts)) > 1
        await asyncio.sleep(0.3)
        assert [(await other.ask(session_id=f"s{number}")).json["provider"] for number in range(12)] == firsts


async def test_a_frozen_redis_costs_one_request_a_moment_and_is_taken_up_again(
    bench: Bench, redis: RedisServer, tmp_path: Path
) -> None:
    box = await bench.box()
    limits = {"limit_usd": 100_000, "rpm": 100_000}
    async with replicas(1, [Offer(box, "only")], tmp_path, {"url": redis.url}, key=limits) as (gateway,):
        times: list[float] = []
        frozen = asyncio.Event()

        async def load() -> None:
            while not frozen.is_set() or len(times) < 200:
                started = time.monotonic()
                assert (await gateway.ask()).status == 200
                if frozen.is_set():
                    times.append(time.monotonic() - started)

        clients = [asyncio.ensure_future(load()) for _ in range(4)]
        await asyncio.sleep(0.5)
        redis.freeze()
        frozen.set()

        async def degraded() -> bool:
            return await gateway.readiness() == "degraded"

        noticed = await within(3, degraded)
        await asyncio.gather(*clients)
        assert await gateway.metric("turnout_state_errors_total") >= 1
        assert await gateway.metric("turnout_state_up") == 0
        redis.thaw()

        async def ready() -> bool:
            return await gateway.readiness() == "ready"

        back = await within(4, ready)
        assert (await gateway.ask()).status == 200
        slow = [one for one in times if one > 0.15]
        # One wait each for those who were on their way when it stopped; nobody after them.
        assert len(slow) <= 8
        assert max(times) < 1
        print(
            f"frozen: slowest request {max(times) * 1000:.0f} ms, {len(slow)} of {len(times)} above 150 ms, "
            f"degraded after {noticed:.2f} s, ready again {back:.2f} s after SIGCONT"
        )


@pytest.mark.parametrize(("kind", "count"), [("redis", 1500), ("embedded", 1500)])
@pytest.mark.timeout(240)
async def test_clients_that_leave_at_random_leave_one_row_each_and_nothing_else(
    redis: RedisServer, bench: Bench, tmp_path: Path, kind: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request counts once it was understood and admitted: from there on it has exactly one row."""
    box = await bench.box()
    box.answer(Answer(content="station " * 10))
    box.always(Slow(between=0.002))
    state = {"url": redis.url} if kind == "redis" else {}
    gateway = await bench.gateway(
        [Offer(box, "only", endpoint=PRICE)],
        environ={"LAPTOP": KEY},
        auth={"mode": "keys", "keys": [{"name": "laptop", "key_env": "LAPTOP", "limit_usd": 100_000}]},
        state=state,
    )
    core, store = gateway.gateway.core, gateway.gateway.store
    admitted: list[str] = []
    admit, added = core._budget.admit, gateway.gateway.writer.add
    rows: list[str] = []

    async def counted(asked: Any, expected: float, total: float) -> Any:
        grant = await admit(asked, expected, total)
        admitted.append(asked.generation)
        return grant

    def add(row: Any) -> None:
        rows.append(row.id)
        added(row)

    monkeypatch.setattr(core._budget, "admit", counted)
    monkeypatch.setattr(gateway.gateway.writer, "add", add)
    rng = random.Random(7)
    head = {"authorization": f"Bearer {KEY}"}

    async def leave() -> None:
        async with talk(gateway) as conversation:
            data = request(ask(rng.random() < 0.7), **head)
            await conversation.send(data[: rng.randrange(len(data))] if rng.random() < 0.05 else data)
            if rng.random() < 0.3:
                await asyncio.sleep(rng.expovariate(1 / 0.05))
            else:
                with suppress(asyncio.IncompleteReadError, TimeoutError):
                    async with asyncio.timeout(1 + rng.random()):
                        await conversation.reader.readexactly(rng.randrange(1, 2500))

    async def clients(each: int) -> None:
        for _ in range(each):
            await leave()

    await asyncio.gather(*(clients(count // 20) for _ in range(20)))
    await asyncio.wait_for(_idle(core), 10)
    assert core.health.in_flight() == 0
    await gateway.gateway.writer.flush()
    await store.flush(5.0)
    assert len(admitted) > count / 2
    assert sorted(rows) == sorted(admitted)
    stored = await store.ledger.recent(count + 1)
    assert sorted(row.id for row in stored) == sorted(admitted)
    usage = await store.spend.usage(LAPTOP)
    assert usage.reserved == 0
    assert usage.total == sum((row.cost for row in stored), Decimal(0))
    left = sum(row.cancelled for row in stored)
    print(f"{kind}: {count} clients, {len(admitted)} admitted, {left} rows of clients who left")


async def _idle(core: Any) -> None:
    while core.in_flight:
        await asyncio.sleep(0.01)


async def test_where_redis_is_not_required_a_gateway_serves_without_it_until_it_comes(
    redis: RedisServer, bench: Bench, tmp_path: Path
) -> None:
    box = await bench.box()
    redis.kill()
    state = {"url": redis.url, "required": False}
    async with replicas(1, [Offer(box, "only", endpoint=PRICE)], tmp_path, state, key={"limit_usd": 1}) as (gateway,):
        assert await gateway.readiness() == "degraded"
        assert (await gateway.ask()).status == 200
        redis.restart()

        async def ready() -> bool:
            return await gateway.readiness() == "ready"

        print(f"taken up {await within(5, ready):.2f} s after it came")
        assert [(await gateway.ask()).status for _ in range(5)] == [200] * 4 + [402]
        assert await gateway.end() == 0
    store = connect(State(url=redis.url))
    await store.open()
    assert len([row for row in await store.ledger.recent(10) if row.status == 200]) == 5
    assert (await store.spend.usage(LAPTOP)).total == 1
    await store.aclose()
