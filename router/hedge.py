"""A second endpoint started beside one that is slow to begin; whoever has content first wins, the other is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from config.schema import Hedge as Rules
from providers.errors import Cancelled, ProviderError, Remedy
from providers.tasks import spawn
from router.attempt import Attempt
from router.speed import Spread

BURST = 10
"""Hedges there may be at once, whatever the share."""
ENOUGH = 20
"""Answers by which an endpoint's own p95 is known."""
SOONEST = 1.0
"""Seconds: nobody is hedged for being slower than its own milliseconds."""


class Allowance:
    """The share of all requests of this process that may be hedged: a token bucket, full at first."""

    def __init__(self) -> None:
        self._left = float(BURST)

    def request(self, share: float) -> None:
        """A request has come."""
        self._left = min(float(BURST), self._left + share)

    def take(self) -> bool:
        """Whether one more may be hedged now; then it counts."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def patience(rules: Rules, known: Spread | None, most: float) -> float | None:
    """Seconds to wait for an attempt to begin before another is started; None: for as long as it may take, `most`."""
    if rules.after == "off" or rules.max_share == 0:
        return None
    if rules.after != "auto":
        after = rules.after
    elif known is None or known.count < ENOUGH:
        after = rules.default
    else:
        after = max(known.p95, SOONEST)
    return after if after < most else None


@dataclass(frozen=True, slots=True)
class Result:
    """Who began to answer, with the first bytes, and who failed, in the order they did."""

    winner: Attempt | None
    first: bytes
    failed: list[tuple[Attempt, ProviderError]]


class Race:
    """One attempt, and the rival that is started beside it should it be slow."""

    def __init__(self, attempt: Attempt, after: float, rival: Callable[[], Attempt | None]) -> None:
        """`rival` makes the attempt to start after so many seconds, or None where there is none to be made."""
        self._attempt = attempt
        self._make = rival
        self._rival: Attempt | None = None
        self._task: asyncio.Task[None] | None = None
        self._leader: Attempt | None = None
        self._rival_first = b""
        self._rival_answers = False
        self._failed: list[tuple[Attempt, ProviderError]] = []
        attempt.begun = self._first_has_begun
        self._timer = asyncio.get_running_loop().call_later(after, self._start_rival)

    async def run(self) -> Result:
        """Until one answers, or all have failed. Cancel it freely."""
        try:
            return await self._run()
        except BaseException:
            self._stop_rival()
            raise
        finally:
            self._timer.cancel()

    async def _run(self) -> Result:
        try:
            first = await self._attempt.start()
        except ProviderError as error:
            return await self._without_first(error)
        return Result(self._attempt, first, self._failed)

    async def _without_first(self, error: ProviderError) -> Result:
        self._timer.cancel()
        if self._leader is None or self._leader is self._attempt:
            self._failed.append((self._attempt, error))
            if error.remedy is Remedy.RETURN:
                self._stop_rival()
        if self._task is not None:
            await asyncio.wait([self._task])
        return Result(self._rival if self._rival_answers else None, self._rival_first, self._failed)

    def _start_rival(self) -> None:
        self._rival = self._make()
        if self._rival is not None:
            self._rival.begun = self._rival_has_begun
            self._task = spawn(self._follow(self._rival), "hedge")

    async def _follow(self, rival: Attempt) -> None:
        try:
            self._rival_first = await rival.start()
            self._rival_answers = True
        except Cancelled:
            pass
        except ProviderError as error:
            self._failed.append((rival, error))

    def _first_has_begun(self) -> None:
        self._leader = self._attempt
        self._timer.cancel()
        self._stop_rival()

    def _rival_has_begun(self) -> None:
        if self._leader is None:
            self._leader = self._rival
            self._attempt.lose()

    def _stop_rival(self) -> None:
        if self._rival is not None and self._task is not None:
            self._rival_answers = False
            self._rival.lose()
            self._task.cancel()
