"""Stands between a request and Redis: short patience, and none at all once Redis is known to be away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from providers.tasks import spawn
from router.state.redis.lateness import Lateness
from router.state.redis.link import FAILURES, Link
from router.state.values import Clock, StateError

T = TypeVar("T")

PATIENCE = 0.25
"""Seconds a request waits for Redis. Those in which this process was too busy to look are not counted, here and below:
the answer may long be there."""
SLOW, SLOW_IN_A_ROW = 0.1, 5
"""An answer that takes this long is as good as none; so many of them in a row and Redis counts as away."""
AT_ONCE = 8
"""Calls under way at most. Redis does one at a time anyhow, and a burst must not be spent on making connections."""

_log = logging.getLogger(__name__)


class Away(StateError):
    """Redis did not do it. `sent`: it may have all the same."""

    def __init__(self, reason: str, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Guard:
    """A breaker. It opens at the first failure and is closed by `probe`."""

    def __init__(self, link: Link, monotonic: Clock) -> None:
        self.errors = 0
        self.reason: str | None = None
        """Why Redis is away; None: it is there."""
        self.back = asyncio.Event()
        """Set while Redis is there."""
        self.back.set()
        self._link = link
        self._clock = monotonic
        self._slow = 0
        self._tag = "fleet"
        self._places = asyncio.Semaphore(AT_ONCE)
        self._lateness = Lateness(monotonic)

    async def call(self, work: Callable[[], Awaitable[T]], tag: str = "fleet", patience: float = PATIENCE) -> T:
        """What `work` returns. Raises Away. `tag`: the hash tag of its keys, which is what is probed if it fails."""
        if self.reason is not None:
            raise Away(self.reason, sent=False)
        async with self._places:
            if self.reason is not None:
                raise Away(self.reason, sent=False)
            try:
                result, seconds = await self._within(work, patience)
            except FAILURES as error:
                await self._open(_in_words(error, patience), tag)
                raise Away(_in_words(error, patience), sent=True) from error
        if patience == PATIENCE:
            await self._timed(seconds, tag)
        return result

    async def _within(self, work: Callable[[], Awaitable[T]], patience: float) -> tuple[T, float]:
        """What it returns and the seconds Redis took. Whatever redis-py is doing, this ends in time. A caller who is
        cancelled leaves the command to end well."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        began = self._clock() - self._lateness.watch()
        spawn(_answering(work, answer), "state: redis command")
        try:
            while (left := began + patience - self._clock() + self._lateness.seconds()) > 0:
                await asyncio.wait([answer], timeout=left)
                if answer.done():
                    return answer.result(), max(0.0, self._clock() - self._lateness.seconds() - began)
            raise TimeoutError
        finally:
            self._lateness.unwatch()
            # Whoever asked may be gone: what comes now, or came at the same moment, is nobody's.
            if not answer.cancel() and not answer.cancelled():
                answer.exception()

    async def _timed(self, seconds: float, tag: str) -> None:
        self._slow = self._slow + 1 if seconds > SLOW else 0
        if self._slow >= SLOW_IN_A_ROW:
            await self._open(f"it takes {seconds * 1000:.0f} ms to answer", tag)

    async def _open(self, reason: str, tag: str) -> None:
        self.errors += 1
        if self.reason is not None:
            return
        self.reason, self._tag, self._slow = reason, tag, 0
        self.back.clear()
        _log.warning("Redis at %s is away (%s): requests go on from what is known here", self._link.address, reason)
        try:
            await self._link.drop()
        except FAILURES as error:
            _log.debug("closing idle connections: %s", error)

    def refuse(self, reason: str) -> None:
        """Redis cannot be used yet."""
        if self.reason is None:
            _log.warning("%s Serving without it until it can be used.", reason)
        self.errors += 1
        self.reason = reason
        self.back.clear()

    async def probe(self) -> None:
        """See whether Redis is back: whether what failed can be written to, and quickly."""
        if self.reason is None:
            return
        try:
            name = f"turnout:{{{self._tag}}}:probe"
            await self._within(lambda: self._link.command("SET", name, "1", "PX", 1000), SLOW)
        except FAILURES as error:
            # The first connection after an outage may be what took long.
            self.reason = _in_words(error, SLOW)
            return
        self.reason = None
        self.back.set()
        _log.warning("Redis at %s is back", self._link.address)


async def _answering(work: Callable[[], Awaitable[T]], answer: asyncio.Future[T]) -> None:
    # Not cancelled when nobody waits any more: redis-py, cancelled while it connects, goes on all the same, and a
    # connection whose command was cancelled is lost. The socket's own time limit ends it.
    try:
        result = await work()
    except FAILURES as error:
        if not answer.done():
            answer.set_exception(error)
    else:
        if not answer.done():
            answer.set_result(result)


def _in_words(error: BaseException, patience: float) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer within {patience * 1000:.0f} ms"
    return f"{type(error).__name__}: {error}"[:200]
