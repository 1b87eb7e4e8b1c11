"""A request and its answer on the connection itself: what ASGI's messages say, without the messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

EXTENSION = "turnout.wire"
"""In the scope's extensions: the request's `Wire`. Our server provides it; under any other there is `send`."""


class Line(Protocol):
    """The connection, as its requests see it."""

    transport: asyncio.Transport
    reading_paused: bool
    writing_paused: bool
    """The client does not keep up."""

    async def drained(self) -> None:
        """Wait until the client keeps up, or is gone."""

    def resume_reading(self) -> None: ...

    def ok(self) -> bytes:
        """How the head of a 200 begins, `defaults` included."""

    def defaults(self) -> bytes:
        """The header fields of every answer."""

    def finished(self) -> None:
        """The request in turn has its whole answer."""

    def break_off(self, started: bool) -> None:
        """The request in turn will have none: say so, if its answer has not `started`, and close."""


class Wire:
    """One request with a body, and its 200, in place of `receive` and `send`. Mix neither with them."""

    # What has not been set on the instance is as most requests have it all along.
    gone = False
    """The client has left."""
    started = False
    """The answer's head is written."""
    answered = False
    """The answer is."""
    arriving = True
    """More of the request's body is to come."""
    unread: bytes | bytearray = b""
    """What has come of it."""
    waits_to_send = False
    """The client holds its body back until it is told to go on (Expect: 100-continue)."""
    on_left: Callable[[], None] | None = None
    """Called when the client leaves."""
    news: asyncio.Event | None = None
    """Of the body, and of the end of the request; where someone waits for them."""

    def __init__(self, line: Line, headers: dict[bytes, bytes], keep_alive: bool) -> None:
        """`headers` by lower-case name, of a repeated one the last value."""
        self.headers = headers
        self.keep_alive = keep_alive
        self._line = line

    def body(self) -> bytes | None:
        """The request's body, if it has all arrived; else it is to be received."""
        if self.arriving or self.gone:
            return None
        # While nothing is read from a connection its end is not seen.
        if self._line.reading_paused:
            self._line.resume_reading()
        return self.take()

    def take(self) -> bytes:
        """What has come of the body and was not taken yet."""
        unread, self.unread = self.unread, b""
        return bytes(unread)

    def feed(self, data: bytes) -> None:
        """More of the body has come."""
        if not self.unread:
            self.unread = data
        else:
            if isinstance(self.unread, bytes):
                self.unread = bytearray(self.unread)
            self.unread += data
        if self.news is not None:
            self.news.set()

    def leave(self) -> None:
        """The client is gone."""
        self.gone = True
        if self.news is not None:
            self.news.set()
        if self.on_left is not None:
            self.on_left()

    async def respond(self, fields: bytes, body: bytes) -> None:
        """The complete response; `fields` are whole lines of the head, without one of its length."""
        if self._line.writing_paused:
            await self._line.drained()
        if not self.gone:
            head = self._head(fields)
            self._line.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
            self.complete()

    def begin(self, fields: bytes, data: bytes) -> bool:
        """The head of a response of unknown length, and its first bytes; see `push`."""
        if self.gone:
            return False
        head = self._head(fields)
        self._line.transport.write(b"%btransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (head, len(data), data))
        return not self._line.writing_paused

    def push(self, data: bytes) -> bool:
        """Further bytes, not none. False: the client does not keep up (wait until it has `drained`), or is gone."""
        if self.gone:
            return False
        self._line.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return not self._line.writing_paused

    async def drained(self) -> None:
        """Wait until the client keeps up, or is gone."""
        await self._line.drained()

    def end(self) -> None:
        """No more bytes."""
        if not self.gone:
            self._line.transport.write(b"0\r\n\r\n")
            self.complete()

    def _head(self, fields: bytes) -> bytes:
        self.started = True
        if not self.keep_alive:
            fields += b"connection: close\r\n"
        return self._line.ok() + fields

    def complete(self) -> None:
        """The answer is whole."""
        self.answered = True
        if self.news is not None:
            self.news.set()
        if not self.keep_alive:
            self._line.transport.close()
        self._line.finished()
