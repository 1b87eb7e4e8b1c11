"""Providers in trouble, under traffic: no client feels it, and nobody storms them."""

from __future__ import annotations

import asyncio
from collections import Counter

from config.schema import Health as Thresholds
from providers.errors import Overloaded
from router.catalogue import Endpoint
from router.errors import ApiError
from router.facts import Ticket
from router.health import Health
from router.outcome import Outcome
from tests.router.fakes import FakeResponse, Rig, good, offer, run, world

MINUTES = 10
RATE = 50
ANSWER = 0.2
"""Seconds an upstream call takes, whichever way it ends."""


class Flapping:
    """Twenty seconds up, twenty down."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.start = asyncio.get_running_loop().time()

    def up(self) -> bool:
        return (asyncio.get_running_loop().time() - self.start) % 40 < 20

    async def answer(self) -> FakeResponse:
        self.calls["a"] += 1
        fine = self.up()
        await asyncio.sleep(ANSWER)
        if not fine:
            raise Overloaded("down", upstream_status=503)
        return good()

    async def steady(self) -> FakeResponse:
        self.calls["b"] += 1
        await asyncio.sleep(ANSWER)
        return good()


class Watched(Health):
    """Knows how many probes were made, and how many at once."""

    probes = under_way = most = 0

    def admit(self, endpoint: Endpoint, *, insist: bool = False) -> Ticket | None:
        ticket = super().admit(endpoint, insist=insist)
        if ticket is not None and ticket.probe:
            self.probes += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        return ticket

    def settle(self, ticket: Ticket, outcome: Outcome) -> None:
        self.under_way -= ticket.probe
        super().settle(ticket, outcome)


def test_a_flapping_provider_costs_no_client_anything_and_is_probed_by_one() -> None:
    async def main() -> None:
        box = Flapping()
        rig = Rig(world(offer("a", 1), offer("b", 10)), {"a": box.answer, "b": box.steady})
        health = rig.health = Watched(Thresholds(), rig.loop.time)
        sent = failed = 0

        async def client() -> None:
            nonlocal failed
            try:
                await rig.send()
            except ApiError:
                failed += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(MINUTES * 60 * RATE):
                group.create_task(client())
                sent += 1
                await asyncio.sleep(1 / RATE)

        assert failed == 0
        assert sent <= box.calls.total() <= 1.2 * sent
        assert health.probes >= 10
        assert health.most == 1
        assert box.calls["a"] > sent / 10, "while it is up it is used"
        assert health.in_flight() == 0

    run(main())


def test_a_provider_that_fails_fast_gets_next_to_no_traffic() -> None:
    async def main() -> None:
        box = Flapping()
        rig = Rig(world(offer("a", 1), offer("b", 1)), {"a": lambda: Overloaded("down"), "b": box.steady})
        for _ in range(500):
            assert await rig.send() == "b"
        assert rig.calls("a") <= 0.05 * 500

    run(main())


def test_clients_that_failed_together_do_not_come_back_together() -> None:
    async def main() -> None:
        rig = Rig(world(offer("a")), {"a": lambda: Overloaded("down")}, thresholds=Thresholds(breaker_failures=10_000))
        await asyncio.gather(*(rig.send() for _ in range(500)), return_exceptions=True)
        assert len(rig.slept) == 500
        buckets = Counter(int(seconds / 0.05) for seconds in rig.slept)
        assert max(buckets.values()) < 50
        assert 0.3 <= min(rig.slept) <= max(rig.slept) <= 2.0

    run(main())
