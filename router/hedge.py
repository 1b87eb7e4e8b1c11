"""A second endpoint started beside one that is slow to begin; whoever has content first wins, the other is closed."""

from __future__ import annotations

import asyncio

import msgspec

from config.schema import Hedge as Rules
from providers.errors import Cancelled, ProviderError, Remedy
from providers.tasks import spawn
from router.attempt import Attempt
from router.speed import Spread
from router.watch import NEVER

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


def first_look(rules: Rules) -> float:
    """Seconds after which `patience` has to be asked for, and not before; NEVER where nothing is hedged."""
    if rules.after == "off" or rules.max_share == 0:
        return NEVER
    return SOONEST if rules.after == "auto" else rules.after


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


class Result(msgspec.Struct, frozen=True, gc=False):
    """Who began to answer, with the first bytes, and who failed, in the order they did."""

    winner: Attempt | None
    first: bytes
    failed: list[tuple[Attempt, ProviderError]]


class Race:
    """An attempt that is slow to begin, and the rival that was started beside it."""

    def __init__(self, attempt: Attempt, rival: Attempt) -> None:
        """Starts `rival`; `attempt` runs already."""
        self.failed: list[tuple[Attempt, ProviderError]] = []
        """In the order they did."""
        self._attempt = attempt
        self._rival = rival
        self._leader: Attempt | None = None
        self._rival_first: bytes | None = None
        attempt.begun = self._first_has_begun
        rival.begun = self._rival_has_begun
        self._task = spawn(self._follow(), "hedge")

    async def without_first(self, error: ProviderError) -> Result:
        """The first attempt has failed, or was beaten: what becomes of the rival. Cancel it freely."""
        if self._leader is None or self._leader is self._attempt:
            self.failed.append((self._attempt, error))
            if error.remedy is Remedy.RETURN:
                self.stop()
        try:
            await asyncio.wait([self._task])
        except BaseException:
            self.stop()
            raise
        answers = self._rival_first is not None
        return Result(self._rival if answers else None, self._rival_first or b"", self.failed)

    def stop(self) -> None:
        """The rival is not wanted any more."""
        self._rival_first = None
        self._rival.lose()
        self._task.cancel()

    async def _follow(self) -> None:
        try:
            self._rival_first = await self._rival.start()
        except Cancelled:
            pass
        except ProviderError as error:
            self.failed.append((self._rival, error))

    def _first_has_begun(self) -> None:
        self._leader = self._attempt
        self.stop()

    def _rival_has_begun(self) -> None:
        if self._leader is None:
            self._leader = self._rival
            self._attempt.lose()
