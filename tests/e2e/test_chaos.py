"""Traffic while Redis and providers are stopped, slowed and killed: every request is told of once, and paid once.

The dice are seeded: `TURNOUT_CHAOS_SEED`. `TURNOUT_CHAOS_SECONDS` is how long it goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from config.schema import State
from providers.sandbox import (
    Answer,
    Cut,
    Empty,
    ErrorInStream,
    Hang,
    MalformedJson,
    Reset,
    Sandbox,
    Slow,
    html_502,
    overloaded,
    rate_limited,
    server_error,
)
from router.digest import digest
from router.state import connect
from router.state.values import KeyUsage, Query, Row, Total
from tests.contract.servers import Proxy, RedisServer
from tests.e2e.harness import Bench, Offer
from tests.e2e.replicas import KEY, Replica, replicas
from tests.e2e.talk import Said, ask, request, talk

SECONDS = float(os.environ.get("TURNOUT_CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("TURNOUT_CHAOS_SEED", "1"))
CLIENTS = 8
PATIENT = {"outage_min": 1_000_000, "uptime_min_requests": 1_000_000}
ALLOWED = {200, 429, 502, 503, 504}
"""What the contract lets a client see of providers that fail; of Redis it sees nothing."""
AILMENTS = (
    Slow(between=0.05),
    Cut(after_events=5),
    Cut(after_events=5, how="rst", mid_event=True),
    MalformedJson(after_events=4),
    ErrorInStream(after_events=3),
    Empty(),
    Reset(),
    Hang(),
    server_error(),
    overloaded(),
    html_502(),
    rate_limited(1),
)


@dataclass
class Report:
    """What clients saw."""

    sent: int = 0
    left: int = 0
    """Clients who did not wait for the end."""
    statuses: Counter[int] = field(default_factory=Counter)
    in_band: int = 0
    ids: list[str] = field(default_factory=list)
    costs: dict[str, Decimal] = field(default_factory=dict)
    """USD by id, of answers that came whole."""
    faults: list[str] = field(default_factory=list)
    """What no client may see."""
    events: Counter[str] = field(default_factory=Counter)

    def saw(self, said: Said, stream: bool) -> None:
        self.statuses[said.status] += 1
        self.ids.append(said.headers["x-generation-id"])
        if said.status not in ALLOWED:
            self.faults.append(f"{said.status}: {said.body[:300]!r}")
        elif said.status != 200:
            if said.json["error"]["code"] != said.status:
                self.faults.append(f"an error of another shape: {said.body[:300]!r}")
        else:
            self._saw_answer(said, stream)

    def _saw_answer(self, said: Said, stream: bool) -> None:
        if stream and said.events[-1] != "[DONE]":
            self.faults.append(f"a stream without an end: {said.body[-300:]!r}")
        elif stream and said.broke is not None:
            self.in_band += 1
        else:
            usage = said.events[-2]["usage"] if stream else said.json["usage"]
            self.costs[self.ids[-1]] = Decimal(repr(usage["cost"]))


class Clients:
    """Askers without patience for the gateway's reasons, some of whom leave."""

    def __init__(self, gateways: list[Replica], rng: random.Random, report: Report) -> None:
        self._gateways = gateways
        self._rng = rng
        self._report = report
        self.over = False

    async def run(self) -> None:
        while not self.over:
            await self._one(self._rng.choice(self._gateways))
            await asyncio.sleep(self._rng.uniform(0, 0.05))

    async def _one(self, gateway: Replica) -> None:
        report, stream = self._report, self._rng.random() < 0.6
        leaves = self._rng.random() < 0.15
        # A conversation of its own each, or all would stay with the provider that is well.
        report.sent += 1
        try:
            async with asyncio.timeout(30), talk(gateway) as conversation:  # type: ignore[arg-type]
                await conversation.send(
                    request(ask(stream, session_id=str(report.sent)), authorization=f"Bearer {KEY}")
                )
                if leaves:
                    report.left += 1
                    await asyncio.sleep(self._rng.expovariate(20))
                else:
                    report.saw(await conversation.said(), stream)
        except (OSError, EOFError, TimeoutError, json.JSONDecodeError) as error:
            report.faults.append(f"no proper answer: {error!r}")


class Mischief:
    """One thing after the other goes wrong, and right again."""

    def __init__(
        self, redis: RedisServer, proxy: Proxy, boxes: list[Sandbox], rng: random.Random, report: Report
    ) -> None:
        self._redis = redis
        self._proxy = proxy
        self._boxes = boxes
        self._rng = rng
        self._report = report

    async def with_redis(self) -> None:
        await self._do([self._freeze, self._kill, self._slow, self._cut], pause=1.5)

    async def with_providers(self) -> None:
        await self._do([*(partial(self._ail, ailment) for ailment in AILMENTS), self._gone], pause=0.4)

    async def _do(self, deeds: Sequence[Callable[[], Awaitable[None]]], pause: float) -> None:
        while True:
            # Each once before any comes again.
            for deed in self._rng.sample(deeds, len(deeds)):
                await deed()
                await asyncio.sleep(self._rng.uniform(0.1, pause))

    async def _freeze(self) -> None:
        self._report.events["redis frozen"] += 1
        self._redis.freeze()
        await asyncio.sleep(self._rng.uniform(0.3, 2))
        self._redis.thaw()

    async def _kill(self) -> None:
        self._report.events["redis killed"] += 1
        self._redis.kill()
        await asyncio.sleep(self._rng.uniform(0.1, 1))
        self._redis.restart()

    async def _slow(self) -> None:
        self._report.events["redis slowed"] += 1
        self._proxy.delay = self._rng.uniform(0.01, 0.3)
        await asyncio.sleep(self._rng.uniform(0.3, 1.5))
        self._proxy.delay = 0.0

    async def _cut(self) -> None:
        self._report.events["redis connections cut"] += 1
        self._proxy.cut()

    async def _ail(self, ailment: Any) -> None:
        box = self._rng.choice(self._boxes[:-1])
        self._report.events[f"provider: {type(ailment).__name__.lower()}"] += 1
        box.always(ailment)
        await asyncio.sleep(self._rng.uniform(0.3, 1.5))
        box.always(None)

    async def _gone(self) -> None:
        self._report.events["provider killed"] += 1
        box = self._rng.choice(self._boxes[:-1])
        await box.refuse(drop=True)
        await asyncio.sleep(self._rng.uniform(0.3, 1.5))
        await box.accept()

    async def well_again(self) -> None:
        """Everything works, whatever was going on."""
        self._redis.thaw()
        if self._redis.process.poll() is not None:
            self._redis.restart()
        self._proxy.delay = 0.0
        for box in self._boxes:
            box.always(None)
            await box.accept()


@dataclass(frozen=True)
class Books:
    """What the shared store says in the end."""

    rows: list[Row]
    totals: list[Total]
    usage: KeyUsage


async def books(url: str) -> Books:
    store = connect(State(url=url))
    await store.open()
    try:
        return Books(
            await store.ledger.recent(1_000_000),
            await store.ledger.totals(Query(since=time.time() - 3600)),
            await store.spend.usage(digest(KEY.encode())),
        )
    finally:
        await store.aclose()


@pytest.mark.timeout(120 + 3 * SECONDS)
async def test_whatever_fails_no_row_is_lost_nothing_is_charged_twice_and_clients_see_what_they_may(
    redis: RedisServer, bench: Bench, tmp_path: Path
) -> None:
    boxes = [await bench.box() for _ in range(3)]
    for box in boxes:
        box.answer(Answer(content="station " * 12))
    offers = [Offer(box, slug) for box, slug in zip(boxes, ("one", "two", "three"), strict=True)]
    report = Report()
    more: dict[str, Any] = {
        "key": {"limit_usd": 100_000, "limit_reset": "monthly"},
        "timeouts": {"first_token": 2, "idle": 2, "total": 20},
        # Patient with them, or all would soon be asked of the one that is well.
        "health": {"breaker_failures": 10, "breaker_ejection": 1, "breaker_ejection_max": 2, **PATIENT},
    }
    async with Proxy(redis.port) as proxy, replicas(2, offers, tmp_path, {"url": proxy.url}, **more) as gateways:
        clients = Clients(gateways, random.Random(SEED), report)
        mischief = Mischief(redis, proxy, boxes, random.Random(SEED + 1), report)
        asking = [asyncio.ensure_future(clients.run()) for _ in range(CLIENTS)]
        deeds = [asyncio.ensure_future(mischief.with_redis()), asyncio.ensure_future(mischief.with_providers())]
        await asyncio.sleep(SECONDS)
        for deed in deeds:
            deed.cancel()
        ended = await asyncio.gather(*deeds, return_exceptions=True)
        await mischief.well_again()
        clients.over = True
        await asyncio.gather(*asking)
        await _ready(gateways)
        assert [await gateway.end(signal.SIGTERM) for gateway in gateways] == [0, 0]
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
    found = await books(redis.url)
    tell(report, found)
    judge(report, found)


async def _ready(gateways: list[Replica]) -> None:
    async with asyncio.timeout(10):
        for gateway in gateways:
            while await gateway.readiness() != "ready":
                await asyncio.sleep(0.05)


def tell(report: Report, found: Books) -> None:
    print(f"\nchaos, seed {SEED}, {SECONDS:g} s: {report.sent} requests, {report.left} clients left")
    print(f"  done to them: {dict(sorted(report.events.items()))}")
    print(f"  answers: {dict(sorted(report.statuses.items()))}, {report.in_band} streams ended with an error in them")
    tries = Counter(attempt.result for row in found.rows for attempt in row.attempts)
    print(f"  ledger: {len(found.rows)} rows; attempts: {dict(sorted(tries.items()))}")
    print(f"  spent ${found.usage.total}, reserved ${found.usage.reserved}; what no client may see: {report.faults}")


def judge(report: Report, found: Books) -> None:
    assert not report.faults
    rows = {row.id: row for row in found.rows}
    assert len(rows) == len(found.rows)
    assert set(report.ids) <= set(rows), "rows are lost"
    assert len(set(report.ids)) == len(report.ids)
    # Others are of clients who left before they were answered.
    assert len(rows) - len(report.ids) <= report.left
    for id_, cost in report.costs.items():
        # What a failed attempt had produced before is paid too, and not always in the answer's own usage.
        assert rows[id_].attempts[-1].cost <= cost <= rows[id_].cost
    spent = sum((row.cost for row in found.rows), Decimal(0))
    assert found.usage.total == spent, "the counter is not the ledger"
    assert found.usage.reserved == 0
    assert sum(total.requests for total in found.totals) == len(rows)
    assert sum((total.cost for total in found.totals), Decimal(0)) == spent
    assert report.statuses[200] > 0.9 * sum(report.statuses.values())
