"""One HTTP/1.1 connection: writes a request, parses its answer, one exchange after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from providers.errors import BadAnswer, Broken, Unreachable
from providers.transport.base import MAX_HEAD_BYTES, MAX_HEADERS, Header, Take
from providers.transport.dial import Dialled
from providers.transport.fields import Refusal, check_coding, check_size
from providers.transport.origin import reason_of

HIGH_WATER = 256 * 1024
"""Bytes of body that may lie unread before the peer is made to wait."""
SLICE = 64 * 1024
"""A longer request body is written in slices of this size, each when the one before has left."""


class Connection(Dialled):
    """An exchange is `ask`, then `read` until b"". Whoever cancels either finds the connection closed."""

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, peer: str, on_lost: Callable[[Connection], None]) -> None:
        """`peer` is host:port, for messages; `on_lost` is called once, when the socket is gone."""
        self._loop = loop
        self._peer = peer
        self._on_lost = on_lost
        self._parser = HttpResponseParser(self)
        self._waiter: asyncio.Future[bool | BaseException | None] | None = None
        self._take_on: Take | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = self._counted = 0
        self._unsent = memoryview(b"")
        self._reading_paused = self._writing_paused = False
        self._closed = True
        self.status = 0
        self.fields: list[Header] = []
        """Of the answer's head, as they came."""
        self.idle_since = 0.0
        self._until_close = False
        self._begin()
        self._ended = self._keep = True

    # What the transport above does with it

    @property
    def closed(self) -> bool:
        """No longer, or not yet, connected."""
        return self._closed

    @property
    def reusable(self) -> bool:
        """Between two exchanges, both sides willing, nothing left over in either direction."""
        return self._ended and self._keep and not self._closed and not self._unsent

    async def ask(self, head: bytes, body: bytes) -> None:
        """Send a request and wait for the answer's head.

        Raises Unreachable (no byte of an answer came), Broken, BadAnswer.
        """
        self._begin()
        if self._closed:
            raise self._fault(None)
        self._send(head, body)
        await self._news()
        if not self._head_done and self._error is not None:
            raise self._error

    async def read(self) -> bytes:
        """What has arrived of the body, else wait for more; b"" at its end. Raises Broken, BadAnswer."""
        while not self._pending and not self._ended and self._error is None:
            await self._news()
        if self._pending:
            return self._take()
        if self._error is not None:
            raise self._error
        return b""

    async def pump(self, take: Take) -> bool:
        """See `Response`. Between two pieces no task is woken."""
        if self._pending and not take(self._take()):
            return False
        if not self._ended and self._error is None:
            self._take_on = take
            # Not to be looked for on the connection afterwards: `take` may have given it to another request.
            verdict = await self._news()
            if isinstance(verdict, BaseException):
                raise verdict
            return verdict is True
        if self._error is not None:
            raise self._error
        return True

    def abort(self, error: Exception | None = None) -> None:
        """Close at once; a waiting `ask` or `read`, and every later `read`, raises `error`."""
        self._pending.clear()
        self._close(error or Broken(f"the connection to {self._peer} was closed by this side"))

    # An exchange

    def _begin(self) -> None:
        self._ended = self._head_done = False
        self._error: Exception | None = None
        self._overhead = 0
        self._fields: list[Header] = []
        if self._pending:
            self._take()

    def _send(self, head: bytes, body: bytes) -> None:
        if len(body) <= SLICE:
            self._transport.write(head + body)
            return
        self._transport.write(head)
        self._unsent = memoryview(body)
        self._send_more()

    def _send_more(self) -> None:
        """Driven by the socket, so a body that nobody reads neither piles up nor holds up the answer."""
        while self._unsent and not self._writing_paused:
            piece, self._unsent = self._unsent[:SLICE], self._unsent[SLICE:]
            self._transport.write(piece)

    async def _news(self) -> bool | BaseException | None:
        waiter: asyncio.Future[bool | BaseException | None] = self._loop.create_future()
        self._waiter = waiter
        try:
            return await waiter
        except BaseException:
            if self._waiter is waiter:
                self.abort()
            raise
        finally:
            if self._waiter is waiter:
                self._waiter = None

    def _wake(self) -> None:
        # The waiter is told only that there is news: an exception set on a future that is cancelled
        # in the same moment would be reported as never retrieved.
        # A pump is not woken by pieces, and hears of the end when it has had them all.
        if self._take_on is not None:
            if not self._pending and (self._ended or self._error is not None):
                self._end_pump(self._error or True)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _hand_on(self, take: Take) -> None:
        """What has come is for the pump, unless that is being cancelled."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        self._overhead = 0
        try:
            if not take(self._pending.pop() if len(self._pending) == 1 else self._take()):
                self._end_pump(False)
        except BaseException as error:
            self._end_pump(error)
        if self._ended or self._error is not None:
            self._wake()

    def _end_pump(self, verdict: bool | BaseException) -> None:
        waiter, self._waiter, self._take_on = self._waiter, None, None
        if waiter is not None and not waiter.done():
            waiter.set_result(verdict)

    def _take(self) -> bytes:
        pending = self._pending
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        pending.clear()
        self._pending_bytes = self._counted = 0
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    def _close(self, error: Exception) -> None:
        if not self._ended and self._error is None:
            self._error = error
        self._unsent = memoryview(b"")
        if not self._closed:
            self._closed = True
            self._transport.abort()
        self._wake()

    def _disconnected(self, reason: Exception | None) -> None:
        if not self._closed and self._until_close and reason is None:
            self._ended = True
        self._close(self._fault(reason))

    def _fault(self, reason: Exception | None) -> Exception:
        why = f"the connection was {reason_of(reason)}" if reason is None else reason_of(reason)
        if not self._head_done and not self._overhead:
            return Unreachable(f"{self._peer} did not answer: {why}")
        part = "body" if self._head_done else "head"
        return Broken(f"{self._peer} broke off within the {part} of its answer: {why}")

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._closed = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._disconnected(exc)
        del self._parser  # it refers back to us
        self._on_lost(self)

    def eof_received(self) -> None:
        self._disconnected(None)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._send_more()

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refusal):
                raise
            self._refuse(str(error.__context__))
        except HttpParserError as error:
            self._refuse(str(error))
        except HttpParserUpgrade:
            self._refuse("it switches protocols")
        take = self._take_on
        if take is None:
            self._keep_pieces(len(data))
        elif self._pending:
            self._hand_on(take)
        else:
            self._bound()
            self._wake()

    def _keep_pieces(self, size: int) -> None:
        """What has come in a read of so many bytes lies here until it is read."""
        count = len(self._pending)
        if count > self._counted:
            self._counted = count
            self._overhead = 0
            self._pending_bytes += size
            if self._pending_bytes > HIGH_WATER and not self._reading_paused and not self._closed:
                self._reading_paused = True
                self._transport.pause_reading()
        else:
            self._bound()
        if self._head_done:
            self._wake()

    def _bound(self) -> None:
        if self._overhead > MAX_HEAD_BYTES and not self._ended and not self._closed:
            self._refuse(f"over {MAX_HEAD_BYTES // 1024} kB without a byte of the body")

    def _refuse(self, why: str) -> None:
        # If the answer was whole, this is about what came behind it: the answer stands, the connection goes.
        self._close(BadAnswer(f"{self._peer} did not answer in proper HTTP: {why}"))

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self._ended:  # it must not become the next request's answer
            raise Refusal("something follows the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        fields, self._fields = self._fields, []  # what may follow are trailers
        if len(fields) > MAX_HEADERS or self._overhead > MAX_HEAD_BYTES:
            check_size(fields)
        status = parser.get_status_code()
        if status < 200:
            _check_interim(status)
            return
        names = b"\n%b\n" % b"\n".join(dict(fields)).lower()
        coded = b"\ntransfer-encoding\n" in names
        if coded:
            check_coding(fields)
        self.status = status
        self.fields = fields
        self._keep = parser.should_keep_alive()
        self._until_close = not (self._keep or coded or b"\ncontent-length\n" in names)
        self._head_done = True
        self._overhead = 0

    def on_body(self, data: bytes) -> None:
        self._pending.append(data)

    def on_message_complete(self) -> None:
        if self._head_done:
            self._ended = True


def _check_interim(status: int) -> None:
    if status < 100 or status == 101:
        raise Refusal(f"status {status:03d}, which was not asked for")
