"""The socket's side of a client's connection: flow control both ways, and when to give up."""

from __future__ import annotations

import asyncio
import math
from typing import cast

NEVER = math.inf


class Socket(asyncio.Protocol):
    """What a protocol for clients stands on."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        """`patience`: seconds a client is given that is to send something, or to take what it was sent."""
        self.loop = loop
        self.patience = patience
        self.deadline = NEVER
        """When the connection is closed, by the loop's clock. May be put off, or to NEVER, by an assignment."""
        self.reading_paused = self.writing_paused = False
        self._writable: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    async def drained(self) -> None:
        """Wait until the client keeps up, or is gone."""
        if self.writing_paused:
            self._writable = self._writable or asyncio.Event()
            await self._writable.wait()

    def pause_reading(self) -> None:
        """Make the client wait."""
        if not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the client go on."""
        if self.reading_paused and not self.transport.is_closing():
            self.reading_paused = False
            self.transport.resume_reading()

    def close_at(self, deadline: float) -> None:
        """Set `deadline`."""
        self.deadline = deadline
        if self._timer is not None and self._timer.when() > deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self.loop.call_at(deadline, self._check)

    def _check(self) -> None:
        self._timer = None
        if self.deadline <= self.loop.time():
            self._give_up()
        elif self.deadline != NEVER:
            self.close_at(self.deadline)

    def _give_up(self) -> None:
        """What is not sent yet goes on being sent, for as long as the client takes any of it."""
        unsent = self.transport.get_write_buffer_size()
        self.transport.close()
        if unsent and unsent == self._unsent:
            self.transport.abort()
        elif unsent:
            self._unsent = unsent
            self._timer = self.loop.call_later(self.patience, self._give_up)
