"""Answers written straight to the connection: what ASGI's messages say, without the messages."""

from __future__ import annotations

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from router.edge.asgi import Header

EXTENSION = "turnout.wire"
"""In the scope's extensions: the request's `Wire`. Our server provides it; under any other there is `send`."""

_OK = b"HTTP/1.1 200 OK\r\n"


class Wire:
    """One request with a body and its 200, in place of `receive` and `send`. Mix neither with them."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def body(self) -> bytes | None:
        """The request's body, if it has all arrived; else it is to be received."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected:
            return None
        # While nothing is read from a connection its end is not seen.
        cycle.flow.resume_reading()
        return bytes(cycle.body)

    async def respond(self, headers: Iterable[Header], body: bytes) -> None:
        """The complete response; `headers` are lower-case, without line breaks and a length."""
        if await self._writable():
            head = self._head(headers)
            self._cycle.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
            self._complete()

    def begin(self, headers: Iterable[Header], data: bytes) -> bool:
        """The head of a response of unknown length, and its first bytes; see `push`."""
        cycle = self._cycle
        if cycle.disconnected:
            return False
        head = self._head(headers)
        cycle.transport.write(b"%btransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (head, len(data), data))
        return not cycle.flow.write_paused

    def push(self, data: bytes) -> bool:
        """Further bytes, not none. False: the client does not keep up (wait until it has `drained`), or is gone."""
        cycle = self._cycle
        if cycle.disconnected:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return not cycle.flow.write_paused

    async def drained(self) -> None:
        """Wait until the client keeps up, or is gone."""
        await self._writable()

    def end(self) -> None:
        """No more bytes."""
        if not self._cycle.disconnected:
            self._cycle.transport.write(b"0\r\n\r\n")
            self._complete()

    async def _writable(self) -> bool:
        """Waits while the client does not keep up; False where it is gone."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        return not cycle.disconnected

    def _head(self, headers: Iterable[Header]) -> bytes:
        cycle = self._cycle
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        return _OK + b"".join(lines)

    def _complete(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
