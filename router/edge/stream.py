"""The client's event stream: its head, its events, and a sign of life in every silence."""

from __future__ import annotations

import asyncio
from types import TracebackType

from providers.tasks import spawn
from router.edge import errors
from router.edge.asgi import Send
from router.edge.wire import Wire
from router.errors import ApiError

KEEPALIVE_SECONDS = 15.0
KEEPALIVE = b": TURNOUT PROCESSING\n\n"
"""A comment: every client ignores it, every proxy on the way sees that the connection lives."""

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)


class Stream:
    """Writes whole events only, so that a comment of the keep-alive never lands inside one."""

    def __init__(self, send: Send, generation: str, wire: Wire | None = None) -> None:
        self._send = send
        self._wire = wire
        self._generation = generation
        self._seconds = KEEPALIVE_SECONDS
        self._loop = asyncio.get_running_loop()
        self._started = False
        self._last = self._loop.time()
        self._timer = self._loop.call_later(self._seconds, self._tick)
        self._beat: asyncio.Task[None] | None = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._beat is not None:
            self._beat.cancel()

    def _tick(self) -> None:
        silent = self._loop.time() - self._last
        if silent < self._seconds:
            self._timer = self._loop.call_later(self._seconds - silent, self._tick)
            return
        self._timer = self._loop.call_later(self._seconds, self._tick)
        # One that still waits for a client that does not read needs no second one behind it.
        if self._beat is None or self._beat.done():
            self._beat = spawn(self.write(KEEPALIVE), "keep-alive")

    async def write(self, events: bytes) -> None:
        """Send whole events; the first ones send the head before them."""
        self._last = self._loop.time()
        if not self._started:
            self._started = True
            await self._begin(events)
        elif self._wire is not None:
            await self._wire.write(events)
        else:
            await self._send({"type": "http.response.body", "body": events, "more_body": True})

    async def _begin(self, events: bytes) -> None:
        headers = [*_HEADERS, (b"x-generation-id", self._generation.encode())]
        if self._wire is not None:
            await self._wire.begin(headers, events)
        else:
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": events, "more_body": True})

    async def end(self) -> None:
        self._timer.cancel()
        if self._wire is not None:
            await self._wire.end()
        else:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, error: ApiError) -> None:
        """No answer: a plain error response, or, where a keep-alive has already sent the head, an error in the
        stream."""
        self._timer.cancel()
        if not self._started:
            await errors.send_error(self._send, error, self._generation)
            return
        chunk = errors.chunk(error, self._generation)
        await self.write(b"data: " + chunk + b"\n\ndata: [DONE]\n\n")
        await self.end()
