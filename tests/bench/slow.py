"""Many slow streams at once: what each costs in memory, and how much later its events arrive."""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import dataclass

from tests.bench import machine
from tests.bench.client import Connection, Target, close_all, open_all
from tests.bench.clock import STAMP
from tests.bench.load import percentile

PACE = 0.25
"""Seconds between two events of one stream."""
FEW = 20
"""Streams that are open before memory is first read: what is made once is then made."""
RAMP = 30.0
"""Seconds that opening all of them may take at most."""
LEAST = 0.95
"""Share of the events due in the time watched that must have arrived in it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """So many streams, watched for so many seconds."""

    streams: int
    seconds: float

    @property
    def due(self) -> float:
        """Events of all streams in the time they are watched."""
        return self.streams * self.seconds / PACE

    @property
    def upstream(self) -> tuple[str, ...]:
        """Its streams are longer than they are ever watched."""
        return ("tests.bench.clock", str(PACE), str(math.ceil((self.seconds + RAMP) / PACE)))


@dataclass(frozen=True, slots=True)
class Held:
    """One round. With any error it is no result."""

    kilobytes: float = 0.0
    """Resident memory a stream; 0 without a peer."""
    cpu_us: float = 0.0
    """Per event."""
    p50_ms: float = 0.0
    """From the upstream's sending of an event to its arrival."""
    p99_ms: float = 0.0
    events: int = 0
    errors: tuple[str, ...] = ()


class _Watch:
    """Collects the delays of events, in milliseconds, as they arrive."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def piece(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        self.delays += [(now - int(stamp)) / 1e6 for stamp in STAMP.findall(data)]


async def run(plan: Plan, target: Target, pid: int | None) -> Held:
    """One round; at its end the streams are left by their client. Never raises for a wrong answer."""
    connections: list[Connection] = []
    try:
        async with asyncio.timeout(RAMP + plan.seconds), asyncio.TaskGroup() as group:
            streams = _Streams(target, connections, group)
            held = await _hold(plan, streams, pid)
            streams.cancel()
    except ExceptionGroup as failed:
        return Held(errors=tuple(repr(error) for error in failed.exceptions[:3]))
    except TimeoutError:
        return Held(errors=(f"not all of {plan.streams:,} streams had begun within {RAMP:g} s",))
    finally:
        close_all(connections)
    if held.events < LEAST * plan.due:
        return Held(errors=(f"{held.events:,} events came in the time for {plan.due:,.0f}",))
    return held


class _Streams:
    """Opens streams and reads them."""

    def __init__(self, target: Target, connections: list[Connection], group: asyncio.TaskGroup) -> None:
        self.watch = _Watch()
        self._target = target
        self._connections = connections
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []
        body = {"model": target.model, "stream": True, "messages": [{"role": "user", "content": "Slowly, please."}]}
        self._request = target.request(json.dumps(body).encode())

    async def open(self, count: int) -> None:
        """So many more; returns once each has had its first event."""
        opened = await open_all(self._target, count, self.watch.piece)
        self._connections += opened
        self._tasks += [self._group.create_task(self._read(connection)) for connection in opened]
        while not all(connection.first for connection in opened):
            await asyncio.sleep(0.05)

    async def _read(self, connection: Connection) -> None:
        status, _ = await connection.ask(self._request)
        raise RuntimeError(f"a stream ended, with status {status}")

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


async def _hold(plan: Plan, streams: _Streams, pid: int | None) -> Held:
    await streams.open(FEW)
    memory = machine.rss_bytes(pid)
    await streams.open(plan.streams - FEW)
    streams.watch.delays.clear()
    cpu = machine.cpu_seconds(pid)
    await asyncio.sleep(plan.seconds)
    cpu = machine.cpu_seconds(pid) - cpu
    memory = machine.rss_bytes(pid) - memory
    delays = sorted(streams.watch.delays)
    return Held(
        kilobytes=memory / (plan.streams - FEW) / 1024,
        cpu_us=cpu / len(delays) * 1e6,
        p50_ms=percentile(delays, 0.50),
        p99_ms=percentile(delays, 0.99),
        events=len(delays),
    )
