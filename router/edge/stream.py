"""The client's event stream: its head, its events, and a sign of life in every silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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

    __slots__ = (
        "_beat",
        "_begun",
        "_behind",
        "_generation",
        "_last",
        "_send",
        "_started",
        "_time",
        "_timer",
        "_unsent",
        "_wire",
    )

    def __init__(self, send: Send, generation: str, wire: Wire | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._send = send
        self._wire = wire
        self._generation = generation
        self._time = loop.time
        self._started = False
        self._begun: Callable[[bytes], bool] | None = None
        """How what follows the head is written at once."""
        self._unsent: list[bytes] = []
        """Without a wire: what `drained` is to send."""
        self._behind = False
        """The client does not keep up."""
        self._beat: asyncio.Task[None] | None = None
        self._last = loop.time()
        self._timer = loop.call_later(KEEPALIVE_SECONDS, self._tick)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._beat is not None:
            self._beat.cancel()

    def _tick(self) -> None:
        silent = self._time() - self._last
        again = KEEPALIVE_SECONDS
        if silent < KEEPALIVE_SECONDS:
            again -= silent
        elif not self._behind:  # who does not read needs no sign of life
            self.push(KEEPALIVE)
            self._beat = spawn(self.drained(), "keep-alive")
        self._timer = asyncio.get_running_loop().call_later(again, self._tick)

    def push(self, events: bytes) -> bool:
        """Send whole events; the first ones send the head before them. False: wait for `drained` before more."""
        self._last = self._time()
        keeps_up = self._begin(events) if self._begun is None else self._begun(events)
        if not keeps_up:
            self._behind = True
        return keeps_up

    def _begin(self, events: bytes) -> bool:
        wire = self._wire
        if wire is None:
            self._unsent.append(events)
            return False
        self._started = True
        self._begun = wire.push
        return wire.begin(b"".join([b"%b: %b\r\n" % header for header in self._headers()]), events)

    async def drained(self) -> None:
        """Until the client keeps up."""
        if self._wire is not None:
            await self._wire.drained()
        else:
            await self._send_all()
        self._behind = False

    async def _send_all(self) -> None:
        if not self._started:
            self._started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": self._headers()})
        events, self._unsent = b"".join(self._unsent), []
        if events:
            await self._send({"type": "http.response.body", "body": events, "more_body": True})

    def _headers(self) -> list[tuple[bytes, bytes]]:
        return [*_HEADERS, (b"x-generation-id", self._generation.encode())]

    async def end(self) -> None:
        """No more events; all that were pushed are sent."""
        self._timer.cancel()
        if self._wire is not None:
            self._wire.end()
        else:
            await self._send_all()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, error: ApiError) -> None:
        """No answer: a plain error response, or, where a keep-alive has already sent the head, an error in the
        stream."""
        self._timer.cancel()
        if not self._started:
            await errors.send_error(self._send, error, self._generation)
            return
        self.push(b"data: " + errors.chunk(error, self._generation) + b"\n\ndata: [DONE]\n\n")
        await self.end()
