"""What the ledger says, asked at most every few seconds however many people look."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar, cast

from router.dashboard.period import Period
from router.state.base import Ledger
from router.state.values import AttemptTotal, Dimension, Query, Row, Total

T = TypeVar("T")

FRESH = 2.0
"""Seconds an answer is used for."""
RECENT = 300
"""Requests that percentiles and the lists of recent ones are made of."""
MOST_KEPT = 200


class Pending(Protocol):
    """The ledger's writer: what is waiting can be made to be stored."""

    async def flush(self) -> None: ...


class Figures:
    """Reads the ledger. Raises StateError where it cannot be read."""

    def __init__(
        self,
        ledger: Ledger,
        pending: Pending,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        fresh: float = FRESH,
    ) -> None:
        self.wall = wall
        self._ledger = ledger
        self._pending = pending
        self._monotonic = monotonic
        self._fresh = fresh
        self._kept: dict[object, tuple[float, Any]] = {}

    async def _cached(self, what: object, ask: Callable[[], Awaitable[T]]) -> T:
        now = self._monotonic()
        kept = self._kept.get(what)
        if kept is not None and now - kept[0] < self._fresh:
            return cast("T", kept[1])
        found = await ask()
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[what] = (now, found)
        return found

    async def series(self, period: Period, *by: Dimension, model: str | None = None) -> list[Total]:
        """Sums by bucket and `by`; the first of each group is the start of its bucket."""
        query = Query(period.since, (period.unit, *by), period.until, model=model)
        return await self._cached(("requests", query), lambda: self._ledger.totals(query))

    async def totals(self, period: Period, *by: Dimension, model: str | None = None) -> list[Total]:
        """Sums by `by`, from the same buckets as `series`."""
        return fold(await self.series(period, *by, model=model))

    async def attempts(self, period: Period, *by: Dimension, model: str | None = None) -> list[AttemptTotal]:
        """Sums of attempts by bucket and `by`; the first of each group is the start of its bucket."""
        query = Query(period.since, (period.unit, *by), period.until, model=model)
        return await self._cached(("attempts", query), lambda: self._ledger.attempts(query))

    async def recent(self) -> list[Row]:
        """The newest requests, newest first."""
        return await self._cached("recent", lambda: self._ledger.recent(RECENT))

    async def page(self, before: str | None) -> list[Row]:
        """Requests older than the one with that id."""
        return await self.recent() if before is None else await self._ledger.recent(RECENT, before)

    async def row(self, id_: str) -> Row | None:
        row = await self._ledger.generation(id_)
        if row is None:
            await self._pending.flush()
            row = await self._ledger.generation(id_)
        return row

    async def key_names(self) -> dict[str, str]:
        return await self._cached("names", self._ledger.key_names)


def add(one: Total, other: Total) -> Total:
    """Both together, in the group of the first."""
    return replace(
        one,
        requests=one.requests + other.requests,
        errors=one.errors + other.errors,
        saved=one.saved + other.saved,
        prompt=one.prompt + other.prompt,
        cached=one.cached + other.cached,
        cache_write=one.cache_write + other.cache_write,
        reasoning=one.reasoning + other.reasoning,
        completion=one.completion + other.completion,
        cost=one.cost + other.cost,
    )


def regroup(totals: Sequence[Total], group: Callable[[tuple[str, ...]], tuple[str, ...]]) -> list[Total]:
    """Sums by a part of their groups."""
    out: dict[tuple[str, ...], Total] = {}
    for total in totals:
        at = group(total.group)
        held = out.get(at)
        out[at] = replace(total, group=at) if held is None else add(held, total)
    return [out[at] for at in sorted(out)]


def fold(series: Sequence[Total]) -> list[Total]:
    """Sums without the first of each group, its bucket."""
    return regroup(series, lambda group: group[1:])


def whole(series: Sequence[Total]) -> Total:
    """Everything in one."""
    return next(iter(regroup(series, lambda group: ())), Total(()))


def uptimes(attempts: Sequence[AttemptTotal], place: int) -> dict[str, dict[int, tuple[int, int]]]:
    """(good, bad) by the value at `place` of the group, and by bucket."""
    out: dict[str, dict[int, tuple[int, int]]] = {}
    for total in attempts:
        buckets = out.setdefault(total.group[place], {})
        good, bad = buckets.get(int(total.group[0]), (0, 0))
        buckets[int(total.group[0])] = (good + total.good, bad + total.bad)
    return out
