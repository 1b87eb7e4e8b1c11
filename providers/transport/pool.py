"""Bounds the connections to one origin, and keeps the idle ones for the next request."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress

from providers.transport.connection import Connection


class Slots:
    """At most `count` holders at once (None: no bound); who waits is served in the order of coming."""

    __slots__ = ("_free", "_waiters")

    def __init__(self, count: int | None) -> None:
        self._free: float = math.inf if count is None else count
        self._waiters: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Have one of those that are free, if any is."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def acquire(self) -> None:
        """Wait for a slot. A cancelled wait holds none."""
        if self.take():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.cancelled():
                with suppress(ValueError):
                    self._waiters.remove(waiter)
            else:  # a slot was handed over in the very moment of the cancellation
                self.release()
            raise

    def release(self) -> None:
        """Give the slot to the first who waits, else keep it free."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def open_to_all(self) -> None:
        """No bound from now on: everyone who waits goes on."""
        self._free = math.inf
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class IdleConnections:
    """Connections without a request, the last used first; each is closed when it was idle too long."""

    __slots__ = ("_idle", "_keepalive", "_loop", "_most", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, keepalive: float, most: int) -> None:
        """`keepalive` in seconds, `most` a count."""
        self._loop = loop
        self._keepalive = keepalive
        self._most = most
        self._idle: list[Connection] = []
        self._timer: asyncio.TimerHandle | None = None

    def put(self, connection: Connection) -> None:
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if len(self._idle) > self._most:
            self._idle.pop(0).abort()
        if self._timer is None:
            self._timer = self._loop.call_later(self._keepalive, self._expire)

    def take(self) -> Connection | None:
        """The one used last that is still good."""
        oldest = self._loop.time() - self._keepalive
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since > oldest and not connection.closed:
                return connection
            connection.abort()
        return None

    def forget(self, connection: Connection) -> None:
        with suppress(ValueError):
            self._idle.remove(connection)

    def clear(self) -> None:
        """Close them all."""
        while self._idle:
            self._idle.pop().abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        oldest = self._loop.time() - self._keepalive
        while self._idle and self._idle[0].idle_since <= oldest:
            self._idle.pop(0).abort()
        if self._idle:
            self._timer = self._loop.call_at(self._idle[0].idle_since + self._keepalive, self._expire)
