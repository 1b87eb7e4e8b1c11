"""Metrics of several processes, told as one."""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from router.exposition import merge
from router.siblings import Siblings, bury


class Process:
    """What one worker has counted."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("turnout_requests", 'Requests "answered".', ["model"], registry=self.registry)
        self.cost = Counter("turnout_cost_usd", "Cost.", registry=self.registry)
        self.seconds = Histogram("turnout_request_seconds", "Seconds.", buckets=(0.1, 1), registry=self.registry)
        self.in_flight = Gauge("turnout_in_flight", "Now.", registry=self.registry)
        self.up = Gauge("turnout_state_up", "Redis.", registry=self.registry)
        self.ratio = Gauge("turnout_endpoint_uptime_ratio", "Share.", registry=self.registry)
        self.state = Gauge("turnout_endpoint_state", "State.", ["state"], registry=self.registry)

    def render(self) -> bytes:
        return generate_latest(self.registry)


def samples(text: str) -> dict[str, float]:
    """By name and labels, as Prometheus would read it."""
    return {
        sample.name + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def texts(*processes: Process) -> list[str]:
    return [process.render().decode() for process in processes]


def test_one_process_alone_is_told_as_it_is() -> None:
    one = Process()
    one.requests.labels('a "quoted" one\\').inc(3)
    one.seconds.observe(0.5)
    (text,) = texts(one)
    assert samples(merge([text])) == samples(text)


def test_counters_and_histograms_are_sums_and_gauges_are_by_their_meaning() -> None:
    one, two = Process(), Process()
    one.requests.labels("a").inc(3)
    two.requests.labels("a").inc(4)
    two.requests.labels("b c").inc()
    one.seconds.observe(0.5)
    two.seconds.observe(5)
    for process, number, up, ratio, state in ((one, 2, 1, 0.5, "on"), (two, 5, 0, 1.0, "ejected")):
        process.in_flight.set(number)
        process.up.set(up)
        process.ratio.set(ratio)
        process.state.labels(state).set(1)
    told = samples(merge(texts(one, two)))
    assert told["turnout_requests_total,model=a"] == 7
    assert told["turnout_requests_total,model=b c"] == 1
    assert told["turnout_request_seconds_bucket,le=1.0"] == 1
    assert told["turnout_request_seconds_bucket,le=+Inf"] == told["turnout_request_seconds_count"] == 2
    assert told["turnout_request_seconds_sum"] == 5.5
    assert told["turnout_in_flight"] == 7
    assert told["turnout_state_up"] == 0
    assert told["turnout_endpoint_uptime_ratio"] == 0.75
    assert told["turnout_endpoint_state,state=on"] == told["turnout_endpoint_state,state=ejected"] == 1
    assert merge(texts(one, two)).count("# TYPE turnout_requests_total counter") == 1


def test_of_a_process_that_ended_only_what_it_counted_is_told() -> None:
    one, gone = Process(), Process()
    gone.requests.labels("a").inc(9)
    gone.in_flight.set(5)
    gone.up.set(1)
    told = samples(merge(texts(one), texts(gone)))
    assert told["turnout_requests_total,model=a"] == 9
    assert told["turnout_in_flight"] == 0
    assert told["turnout_state_up"] == 0


def test_the_order_of_the_sum_does_not_show() -> None:
    """A counter that is lower by a rounding than before would count anew from zero."""
    rng = random.Random(1)
    processes = [Process() for _ in range(4)]
    for process in processes:
        process.cost.inc(rng.random() / 3)
    known = texts(*processes)
    sums = {samples(merge(order))["turnout_cost_usd_total"] for order in itertools.permutations(known)}
    sums |= {
        samples(merge([known[0]], [merge([], [merge([], known[1:3], exact=True), known[3]], exact=True)]))[
            "turnout_cost_usd_total"
        ]
    }
    assert len(sums) == 1


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own folders have names too long for a socket's.
    with tempfile.TemporaryDirectory(prefix="turnout-") as folder:
        yield Path(folder)


class Worker:
    """A process and its place among siblings."""

    def __init__(self, folder: Path, serial: int) -> None:
        self.process = Process()
        self.siblings = Siblings(folder, serial, self.process.render)

    async def told(self) -> dict[str, float]:
        return samples((await self.siblings.exposition()).decode())

    async def die(self) -> None:
        """As by SIGKILL: its socket stays, and nobody answers."""
        server, self.siblings._server = self.siblings._server, None
        assert server is not None
        server.close()


async def test_every_worker_tells_the_same(folder: Path) -> None:
    workers = [Worker(folder, serial) for serial in (1, 2, 3)]
    for number, worker in enumerate(workers):
        await worker.siblings.start()
        worker.process.requests.labels("a").inc(number + 1)
    told = [await worker.told() for worker in workers]
    assert told[0]["turnout_requests_total,model=a"] == 6
    assert told[0] == told[1] == told[2]
    for worker in workers:
        await worker.siblings.aclose()


async def test_no_counter_goes_down_while_workers_die_and_are_buried(folder: Path) -> None:
    stays = Worker(folder, 1)
    await stays.siblings.start()
    stays.process.requests.labels("a").inc()
    seen = 1.0

    async def look() -> float:
        nonlocal seen
        told = (await stays.told())["turnout_requests_total,model=a"]
        assert told >= seen
        seen = told
        return told

    for serial in range(2, 202):
        worker = Worker(folder, serial)
        await worker.siblings.start()
        worker.process.requests.labels("a").inc(2)
        worker.process.in_flight.set(7)
        await look()
        await worker.die()
        await look()
        bury(folder, serial)
        assert await look() == 1 + 2 * (serial - 1)
    assert (await stays.told())["turnout_in_flight"] == 0
    assert {path.name for path in folder.iterdir()} == {"1.sock", "1.prom", "ended.prom"}
    assert (folder / "ended.prom").stat().st_size < 10_000
    await stays.siblings.aclose()


async def test_one_who_was_read_and_buried_meanwhile_is_counted_once(folder: Path) -> None:
    stays, goes = Worker(folder, 1), Worker(folder, 2)
    for worker in (stays, goes):
        await worker.siblings.start()
        worker.process.requests.labels("a").inc(5)
    asked = stays.siblings._ask

    async def ask_and_bury(serial: str) -> str | None:
        text = await asked(serial)
        bury(folder, int(serial))
        return text

    stays.siblings._ask = ask_and_bury  # type: ignore[method-assign]
    assert (await stays.told())["turnout_requests_total,model=a"] == 10
    await goes.die()
    await stays.siblings.aclose()


async def test_a_worker_that_does_not_answer_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.siblings.PATIENCE", 0.05)
    stays, hangs = Worker(folder, 1), Worker(folder, 2)
    await stays.siblings.start()
    hangs.process.requests.labels("a").inc(5)
    hangs.siblings._told()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(silent, folder / "2.sock")
    assert (await stays.told())["turnout_requests_total,model=a"] == 5
    server.close()
    await stays.siblings.aclose()
