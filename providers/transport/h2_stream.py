"""One request and its answer on an HTTP/2 connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from providers.errors import Broken, ProviderError, Unreachable
from providers.transport.base import Header, Take, pump


class Stream:
    """A `Response`, from before its head has come. Whoever cancels a wait finds the stream reset, and told so."""

    __slots__ = (
        "_done",
        "_ended",
        "_error",
        "_loop",
        "_on_done",
        "_on_taken",
        "_pending",
        "_waiter",
        "headers",
        "number",
        "owed",
        "reusing",
        "status",
        "unsent",
        "untouched",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        number: int,
        body: bytes,
        on_done: Callable[[Stream], None],
        on_taken: Callable[[Stream], None],
        *,
        reusing: bool,
    ) -> None:
        """`on_done` is called once, when nobody will read on; `on_taken` when what had come was read.

        `reusing`: its connection has served before, so may be one the peer has just given up.
        """
        self.number = number
        self.status = 0
        """0 until the head has come."""
        self.headers: dict[str, str] = {}
        self.unsent = memoryview(body)
        self.owed = 0
        """Bytes of the peer's window that what lies unread has used up."""
        self.reusing = reusing
        self.untouched = False
        """It failed, and the peer had not begun with it: it may be sent again."""
        self._loop = loop
        self._on_done = [on_done]
        self._on_taken = on_taken
        self._pending: list[bytes] = []
        self._ended = self._done = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    # For the transport and whoever it serves

    @property
    def finished(self) -> bool:
        """Nothing is left to be sent, nor will anything come."""
        return self._ended and not self.unsent

    async def answered(self) -> None:
        """Wait for the head. Raises what `fail` or `abort` was given."""
        if not self.status and self._error is None:
            await self._news()
        if not self.status and self._error is not None:
            self.abort(self._error)
            raise self._error

    def then(self, call: Callable[[Stream], None]) -> None:
        """Have `call` be made too when nobody will read on."""
        self._on_done.append(call)

    async def read(self) -> bytes:
        """See `Response`."""
        if not self._pending and not self._ended and self._error is None:
            await self._news()
        if self._pending:
            return self._take()
        if self._error is not None:
            self.abort(self._error)
            raise self._error
        return b""

    async def pump(self, take: Take) -> bool:
        """See `Response`."""
        return await pump(self, take)

    def close(self) -> None:
        """See `Response`."""
        self.abort(Broken("read after the answer was closed"))

    def abort(self, error: Exception) -> None:
        """See `Response`."""
        if not self._done:
            self._done = True
            self._pending.clear()
            self._error = self._error or error
            for call in self._on_done:
                call(self)
            self._wake()

    def _take(self) -> bytes:
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        self._on_taken(self)
        return data

    # For the connection

    def begin(self, status: int, fields: Iterable[Header]) -> None:
        """The head has come."""
        self.status = status
        self.headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in fields if not name.startswith(b":")
        }
        self._wake()

    def feed(self, data: bytes, owed: int) -> None:
        self.owed += owed
        if data:
            self._pending.append(data)
            self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def fail(self, error: ProviderError) -> None:
        """Nothing more will come. What came is still handed out."""
        self.unsent = memoryview(b"")
        if not self._ended and self._error is None:
            self._error = error
        self._wake()

    def lost(self, peer: str, reason: str, *, untouched: bool) -> None:
        """The connection or the stream is gone."""
        self.untouched = untouched and not self.status
        if self.status:
            self.fail(Broken(f"{peer} broke off within the body of its answer: {reason}"))
        else:
            self.fail(Unreachable(f"{peer} did not answer: {reason}"))

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = None

    def _wake(self) -> None:
        # see Connection._wake: an exception set here could be one never retrieved
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
