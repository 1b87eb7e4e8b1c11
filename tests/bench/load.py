"""Load on N connections: each asks again as soon as it has its answer, or all together at a steady rate."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from tests.bench import machine
from tests.bench.client import PATIENCE, Connection, Expected, Target, close_all, open_all


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked, by how many at once, and for how long (seconds) or how often."""

    target: Target
    body: bytes
    expected: Expected
    connections: int
    seconds: float
    warm_up: float
    most: int | None = None
    """Requests at most; None: as many as fit."""
    rate: float | None = None
    """Requests a second, begun on time whether or not earlier ones are answered; None: closed loop."""


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement. Only correct answers are in it; with any error it is no result."""

    requests: int
    seconds: float
    cpu_us: float
    """CPU time of the peer's processes per request; 0 where there is no peer."""
    p50_ms: float
    """Until the first byte of an answer's body."""
    p99_ms: float
    reads: int
    """How many times something arrived: that a stream's events came one by one shows here."""
    errors: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


@dataclass(slots=True)
class _Tally:
    until: float
    left: float
    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


async def run(load: Load, pid: int | None) -> Round:
    """One round: connect, warm up, then measure until the time is over and the last answer has come.

    `pid`: whose CPU time is read, with all processes below it. Never raises for a wrong answer.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            connections = await open_all(load.target, load.connections)
    except OSError as error:
        return _failed([f"connecting: {error!r}"])
    try:
        warm = await _drive(load, connections, load.warm_up, None)
        if warm.errors:
            return _failed(warm.errors)
        reads = sum(connection.reads for connection in connections)
        cpu, start = machine.cpu_seconds(pid), time.perf_counter()
        tally = await _drive(load, connections, load.seconds, load.most)
        seconds, cpu = time.perf_counter() - start, machine.cpu_seconds(pid) - cpu
        reads = sum(connection.reads for connection in connections) - reads
    finally:
        close_all(connections)
    return _round(tally, seconds, cpu, reads)


async def _drive(load: Load, connections: list[Connection], seconds: float, most: int | None) -> _Tally:
    tally = _Tally(time.perf_counter() + seconds, float("inf") if most is None else most)
    request = load.target.request(load.body)
    try:
        async with asyncio.timeout(seconds + PATIENCE):
            if load.rate is None:
                workers = [_worker(connection, request, load.expected, tally) for connection in connections]
                await asyncio.gather(*workers)
            else:
                await _at_rate(load.rate, load, connections, request, tally)
    except TimeoutError:
        tally.errors.append(f"no answer within {PATIENCE:g} s")
    return tally


async def _worker(connection: Connection, request: bytes, expected: Expected, tally: _Tally) -> None:
    while tally.left > 0 and not tally.errors and time.perf_counter() < tally.until:
        tally.left -= 1
        await _ask(connection, request, expected, tally, time.perf_counter())


async def _ask(connection: Connection, request: bytes, expected: Expected, tally: _Tally, due: float) -> None:
    try:
        expected.check(*await connection.ask(request))
    except Exception as error:  # whatever it is, it is reported and ends the round
        tally.errors.append(repr(error))
        return
    tally.waits.append(connection.first - due)


async def _at_rate(rate: float, load: Load, connections: list[Connection], request: bytes, tally: _Tally) -> None:
    """Waits are counted from when a request was due: one that found no free connection has waited too."""
    idle: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for connection in connections:
        idle.put_nowait(connection)

    async def one(due: float) -> None:
        connection = await idle.get()
        await _ask(connection, request, load.expected, tally, due)
        idle.put_nowait(connection)

    due = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        while tally.left > 0 and not tally.errors and due < tally.until:
            tally.left -= 1
            while (wait := due - time.perf_counter()) > 0:  # uvloop may wake up to a millisecond early
                await asyncio.sleep(wait)
            group.create_task(one(due))
            due += 1 / rate


def _round(tally: _Tally, seconds: float, cpu: float, reads: int) -> Round:
    if tally.errors or not tally.waits:
        return _failed(tally.errors or ["not one answer in time"])
    waits = sorted(tally.waits)
    count = len(waits)
    return Round(
        requests=count,
        seconds=seconds,
        cpu_us=cpu / count * 1e6,
        p50_ms=percentile(waits, 0.50) * 1e3,
        p99_ms=percentile(waits, 0.99) * 1e3,
        reads=reads,
    )


def _failed(errors: list[str]) -> Round:
    return Round(0, 0.0, 0.0, 0.0, 0.0, 0, tuple(errors[:3]))


def percentile(ordered: list[float], share: float) -> float:
    """Nearest rank, of values in order."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
