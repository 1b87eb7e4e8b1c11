"""Limits in Redis, and this process's own view of them for when Redis is away."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from providers.tasks import spawn
from router.state.periods import Figures, resets_at
from router.state.redis.guard import Away, Guard
from router.state.redis.link import Argument, Link
from router.state.redis.scripts import ADMIT, SETTLE, USAGE
from router.state.spend import Account, SpendBook
from router.state.values import Clock, Grant, KeyUsage, Limits, Refusal, to_units, to_usd

MOST = 200_000
"""Charges that wait for Redis at most; of more, the oldest are lost."""
AT_ONCE = 100
PATIENCE = 2.0
"""Seconds the settling, which nobody waits for, is given."""


class Charge(NamedTuple):
    key: str
    request: str
    units: int
    at: float


def _keys(key: str) -> list[str]:
    return [f"turnout:{{{key}}}:{name}" for name in ("spend", "leases", "amounts", "admitted", "done")]


class RedisSpend:
    """`Spend` in Redis. `now`: unix time instead of Redis's own, for tests."""

    def __init__(
        self,
        link: Link,
        guard: Guard,
        book: SpendBook,
        monotonic: Clock,
        replicas: Callable[[], int],
        now: Clock | None = None,
    ) -> None:
        self._link = link
        self._guard = guard
        self._book = book
        self._monotonic = monotonic
        self._replicas = replicas
        self._now = now
        self._charges: dict[str, deque[Charge]] = {}
        self._waiting = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = spawn(self._run(), "state: charges")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def admit(self, key: str, limits: Limits, expected: Decimal, request: str, lease: float) -> Grant | Refusal:
        account = self._book.account(key)
        words = self._admission(account, limits, expected, request, lease)
        try:
            reply = await self._guard.call(lambda: self._link.script(ADMIT, _keys(key), words), key)
        except Away as away:
            return self._admit_alone(key, limits, expected, request, lease, away)
        except asyncio.CancelledError:
            # The client left, but Redis may have reserved already.
            self._send(Charge(key, request, 0, 0.0))
            raise
        return self._decided(account, reply, key, limits, expected, request, lease)

    def _admission(
        self, account: Account, limits: Limits, expected: Decimal, request: str, lease: float
    ) -> list[Argument]:
        """In one word, since each word of a command costs this process time. Money as text: a number of Lua's is exact
        to 2^53 only."""
        known = account.figures
        figures = (known.total, known.day, known.daily, known.week, known.weekly, known.month, known.monthly)
        words = (
            self._time(),
            request,
            str(to_units(expected)),
            "" if limits.usd is None else str(to_units(limits.usd)),
            limits.reset or "total",
            limits.rpm or 0,
            lease,
            " ".join(map(str, figures)),
        )
        return [msgspec.msgpack.encode(words)]

    def _time(self) -> str | float:
        return "" if self._now is None else self._now()

    def _admit_alone(
        self, key: str, limits: Limits, expected: Decimal, request: str, lease: float, away: Away
    ) -> Grant | Refusal:
        decision = self._book.admit(key, limits, expected, request, lease, max(1, self._replicas()))
        if away.sent and isinstance(decision, Refusal):
            self._send(Charge(key, request, 0, 0.0))
        return decision

    def _decided(
        self,
        account: Account,
        reply: list[Any],
        key: str,
        limits: Limits,
        expected: Decimal,
        request: str,
        lease: float,
    ) -> Grant | Refusal:
        granted, which, wait, now_us, found = reply
        at = int(now_us) / 1e6
        reserved = _learn(account, found)
        left = None
        if limits.usd is not None:
            left = to_usd(max(0, to_units(limits.usd) - account.figures.within(limits.reset, at) - reserved))
        if granted:
            now = self._monotonic()
            self._book.hold(account, request, to_units(expected), now + lease, limits.rpm, now)
            return Grant(key, request, at, expected, left)
        if which == b"rpm":
            return Refusal("rpm", math.ceil(int(wait) / 1e3) / 1e3)
        resets = resets_at(limits.reset, at)
        return Refusal("usd", None if resets is None else resets - at, resets, left)

    def settle(self, grant: Grant, cost: Decimal) -> None:
        account = self._book.account(grant.key)
        if account.end(grant.request):
            units = to_units(cost)
            if units:
                account.pending[grant.request] = (units, grant.at)
            self._send(Charge(grant.key, grant.request, units, grant.at))

    def release(self, grant: Grant) -> None:
        self.settle(grant, Decimal(0))

    def _send(self, charge: Charge) -> None:
        waiting = self._charges.setdefault(charge.key, deque())
        waiting.append(charge)
        self._waiting += 1
        if self._waiting > MOST:
            self._delivered(charge.key, 1)
        self._idle.clear()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._guard.back.wait()
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._deliver()
            except Away:
                self._wake.set()
            else:
                self._idle.set()

    async def _deliver(self) -> None:
        """Send what waits, key by key, oldest first. What fails stays: Redis charges each request once."""
        while self._charges:
            key, waiting = next(iter(self._charges.items()))
            batch = list(islice(waiting, AT_ONCE))
            charges = [(charge.request, str(charge.units), charge.at) for charge in batch]
            words = msgspec.msgpack.encode((self._time(), charges))
            _learn(self._book.account(key), await self._settle(key, [words]))
            self._delivered(key, len(batch))

    async def _settle(self, key: str, words: list[Argument]) -> object:
        return await self._guard.call(lambda: self._link.script(SETTLE, _keys(key), words), key, PATIENCE)

    def _delivered(self, key: str, count: int) -> None:
        waiting, account = self._charges[key], self._book.account(key)
        for _ in range(count):
            account.pending.pop(waiting.popleft().request, None)
            self._waiting -= 1
        # To the end of the queue, so that a busy key does not keep the others waiting.
        del self._charges[key]
        if waiting:
            self._charges[key] = waiting

    async def usage(self, key: str) -> KeyUsage:
        account = self._book.account(key)
        try:
            found = await self._guard.call(lambda: self._link.script(USAGE, _keys(key), [self._time()]), key)
        except Away:
            return self._book.usage(key)
        reserved = _learn(account, found)
        known = self._book.usage(key)
        return KeyUsage(known.daily, known.weekly, known.monthly, known.total, to_usd(reserved))

    async def flush(self) -> None:
        """Wait until every charge has been delivered."""
        await self._idle.wait()


def _learn(account: Account, found: object) -> int:
    """Take over what Redis says was spent; returns what it says is reserved. An answer that was overtaken by a
    newer one changes nothing."""
    assert isinstance(found, list)
    total, day, daily, week, weekly, month, monthly, reserved = map(int, found)
    known = account.figures
    account.figures = Figures(
        max(total, known.total),
        *max((day, daily), (known.day, known.daily)),
        *max((week, weekly), (known.week, known.weekly)),
        *max((month, monthly), (known.month, known.monthly)),
    )
    return reserved
