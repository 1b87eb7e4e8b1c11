"""Many quick requests, and a provider that goes away and comes back among them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from router.cli.scene.client import Client, NotAnsweredError, Reply
from router.cli.scene.rig import Provider
from router.cli.scene.script import user

REQUESTS = 240
OUTAGE_AFTER = 80
"""Requests answered before the cheapest provider goes away: enough that one outage is no habit."""
WORKERS = 6
PAUSE = 0.06
"""Seconds a worker rests between requests."""
PATIENCE = 15.0
"""Seconds until something that should have happened is given up on."""


@dataclass(slots=True)
class Tally:
    """What the requests came to."""

    answered: int = 0
    saved: int = 0
    """Answered although the first attempt failed."""
    firsts: Counter[str] = field(default_factory=Counter)
    """First attempts by provider."""
    failures: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Answers that are not the script's."""

    def add(self, reply: Reply, expected: str) -> None:
        self.answered += 1
        self.firsts[reply.attempts[0]["provider"]] += 1
        self.saved += len(reply.attempts) > 1
        if reply.content != expected:
            self.wrong.append(reply.content)

    @property
    def total(self) -> int:
        return self.answered + len(self.failures)


@dataclass(frozen=True, slots=True)
class Outage:
    """What happens to one provider in the middle."""

    victim: Provider
    begin: Callable[[], None]
    end: Callable[[], None]
    tell: Callable[[str, str], None]
    """Shown what happened, and in which style."""


class Traffic:
    """Sends requests until there were enough and the provider that went away is back."""

    def __init__(self, client: Client, expected: str, tick: Callable[[Tally], None]) -> None:
        self.tally = Tally()
        self._client = client
        self._expected = expected
        self._tick = tick
        self._enough = asyncio.Event()
        self._outage_over = False

    async def run(self, outage: Outage) -> None:
        """Raises TimeoutError where the provider is not ejected, or does not come back; httpx.HTTPError."""
        failed: Exception | None = None
        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(self._worker(), name=f"demo: client {number}")
            try:
                await self._suffer(outage)
            except (TimeoutError, httpx.HTTPError) as error:
                failed = error  # raised here, it would come out wrapped in the group's
            finally:
                self._outage_over = True
        if failed is not None:
            raise failed

    async def _worker(self) -> None:
        while self.tally.total < REQUESTS or not self._outage_over:
            await self._one()
            self._tick(self.tally)
            if self.tally.total >= OUTAGE_AFTER:
                self._enough.set()
            await asyncio.sleep(PAUSE)

    async def _one(self) -> None:
        try:
            reply = await self._client.ask({"messages": [user("Are the points set?")]})
            self.tally.add(reply, self._expected)
        except (NotAnsweredError, httpx.HTTPError, LookupError) as error:
            self.tally.failures.append(str(error) or repr(error))

    async def _suffer(self, outage: Outage) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._enough.wait()
        victim = outage.victim
        outage.begin()
        outage.tell("goes down: all one gets is its proxy's HTML page, 502", "red")
        await self._until_state(victim, "ejected")
        outage.tell("is ejected after 5 failures in a row: nobody waits for it any more", "yellow")
        outage.end()
        await self._until_state(victim, None)
        outage.tell("is up again: one probe request found out", "green")

    async def _until_state(self, provider: Provider, state: str | None) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    if await self._state(provider) == state:
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise TimeoutError(f"{provider.name} was not {state or 'on'} within {PATIENCE:.0f} s") from None

    async def _state(self, provider: Provider) -> str | None:
        rows = await self._client.endpoints()
        found: str | None = next(row["unavailable"] for row in rows if row["tag"] == provider.endpoint.tag)
        return found
