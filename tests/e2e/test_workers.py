"""Several processes on one port: started, counted, replaced, drained as one."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from providers.sandbox import Answer, Slow
from tests.contract.servers import RedisServer
from tests.e2e.harness import MODEL, Bench, Offer
from tests.e2e.replicas import Replica, replicas

LONG = Answer(content="station " * 40)


def workers_of(replica: Replica) -> list[int]:
    found = Path(f"/proc/{replica.process.pid}/task/{replica.process.pid}/children").read_text()
    return sorted(map(int, found.split()))


async def until_workers(replica: Replica, count: int, without: int) -> None:
    async with asyncio.timeout(20):
        while len(workers_of(replica)) != count or without in workers_of(replica):
            await asyncio.sleep(0.02)


@pytest.fixture
def only_linux() -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc to find the workers")


async def test_workers_share_a_port_and_whichever_is_asked_tells_the_metrics_of_all(
    bench: Bench, redis: RedisServer, tmp_path: Path, only_linux: None
) -> None:
    box = await bench.box()
    async with replicas(1, [Offer(box, "only")], tmp_path, {"url": redis.url}, "--workers", "2") as (gateway,):
        assert gateway.banner.count("base URL") == 1
        assert "2 workers" in gateway.banner
        for said in await asyncio.gather(*(gateway.ask() for _ in range(40))):
            assert said.status == 200
        served = 'turnout_requests_total{model="' + MODEL
        for _ in range(10):
            assert await gateway.metric(served) == 40
            assert await gateway.metric("turnout_request_seconds_count") == 40
            assert await gateway.metric("turnout_in_flight") == 0
            assert await gateway.metric("turnout_state_up") == 1
        assert len(workers_of(gateway)) == 2
        assert await gateway.end() == 0


async def test_a_worker_that_dies_is_replaced_and_no_counter_goes_down(
    bench: Bench, redis: RedisServer, tmp_path: Path, only_linux: None
) -> None:
    box = await bench.box()
    served = 'turnout_requests_total{model="' + MODEL
    async with replicas(1, [Offer(box, "only")], tmp_path, {"url": redis.url}, "--workers", "2") as (gateway,):
        expected = 0.0
        for _ in range(4):
            for said in await asyncio.gather(*(gateway.ask() for _ in range(10))):
                assert said.status == 200
            expected += 10
            assert await gateway.metric(served) == expected
            victim = workers_of(gateway)[0]
            os.kill(victim, signal.SIGKILL)
            assert await gateway.metric(served) == expected
            await until_workers(gateway, 2, victim)
            assert await gateway.metric(served) == expected
        assert await gateway.end() == 0
        assert "was killed by SIGKILL" in gateway.log.read_text()


async def test_sigterm_lets_the_streams_of_every_worker_finish(
    bench: Bench, redis: RedisServer, tmp_path: Path
) -> None:
    box = await bench.box()
    box.answer(LONG)
    box.always(Slow(between=0.02))
    async with replicas(1, [Offer(box, "only")], tmp_path, {"url": redis.url}, "--workers", "2") as (gateway,):
        streams = [asyncio.ensure_future(gateway.ask(stream=True)) for _ in range(12)]
        await box.until(lambda: len(box.requests) == 12)
        gateway.process.send_signal(signal.SIGHUP)
        assert await gateway.end() == 0
        for said in await asyncio.gather(*streams):
            assert said.content == LONG.content
            assert said.broke is None


async def test_workers_end_when_their_supervisor_is_killed(
    bench: Bench, redis: RedisServer, tmp_path: Path, only_linux: None
) -> None:
    box = await bench.box()
    async with replicas(1, [Offer(box, "only")], tmp_path, {"url": redis.url}, "--workers", "2") as (gateway,):
        workers = workers_of(gateway)
        await gateway.end(signal.SIGKILL)
        async with asyncio.timeout(10):
            while any(_runs(pid) for pid in workers):
                await asyncio.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_workers_without_redis_are_refused(bench: Bench, tmp_path: Path) -> None:
    box = await bench.box()
    with pytest.raises(AssertionError, match="shared state"):
        async with replicas(1, [Offer(box, "only")], tmp_path, {}, "--workers", "2"):
            pass


async def test_a_redis_that_is_not_there_is_said_once(bench: Bench, redis: RedisServer, tmp_path: Path) -> None:
    redis.kill()
    box = await bench.box()
    with pytest.raises(AssertionError) as caught:
        async with replicas(1, [Offer(box, "only")], tmp_path, {"url": redis.url}, "--workers", "3"):
            pass
    assert str(caught.value).count("cannot be used") == 1
