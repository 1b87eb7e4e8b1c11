"""The default transport: HTTP/1.1 over keep-alive connections, with the least work per request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence

from providers.errors import Broken, Unreachable
from providers.transport.base import Header, Limits, Take
from providers.transport.connection import Connection
from providers.transport.dial import default_context, dial
from providers.transport.fields import decoded
from providers.transport.origin import Origin, RequestHead
from providers.transport.pool import IdleConnections, Slots
from providers.transport.proxy import Proxy


class LeanResponse:
    """An answer being read. Any fault or cancellation gives its connection up at once."""

    __slots__ = ("_connection", "_error", "_fields", "_give_back", "status")

    def __init__(self, connection: Connection, give_back: Callable[[Connection], None]) -> None:
        self.status: int = connection.status
        self._fields = connection.fields
        self._connection: Connection | None = connection
        self._give_back = give_back
        self._error: Exception | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Response`. Decoded when asked for: hardly any answer's are."""
        return decoded(self._fields)

    async def read(self) -> bytes:
        """See `Response`."""
        try:
            return await self._open().read()
        except Exception as error:
            self.abort(error)
            raise
        except BaseException:
            self.close()
            raise

    async def pump(self, take: Take) -> bool:
        """See `Response`."""
        try:
            return await self._open().pump(take)
        except Exception as error:
            self.abort(error)
            raise
        except BaseException:
            self.close()
            raise

    def _open(self) -> Connection:
        if self._connection is None:
            raise self._error or Broken("read after the answer was closed")
        return self._connection

    def close(self) -> None:
        """See `Response`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._give_back(connection)

    def abort(self, error: Exception) -> None:
        """See `Response`."""
        if self._connection is not None:
            self._error = error
            self._connection.abort(error)
            self.close()


class LeanTransport:
    """See `Transport`. Redirects are answers like any other, proxies of the environment are not used."""

    def __init__(
        self, base_url: str, limits: Limits, ssl_context: ssl.SSLContext | None = None, proxy: Proxy | None = None
    ) -> None:
        """Without an `ssl_context`, https verifies against the system's trust store. Raises ValueError."""
        self._origin = Origin.parse(base_url)
        self._context = (ssl_context or default_context()) if self._origin.secure else None
        self._head = RequestHead(self._origin)
        self._limits = limits
        self._proxy = proxy
        self._slots = Slots(limits.connections)
        self._idle: IdleConnections | None = None
        self._open: set[Connection] = set()
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None

    @property
    def open_connections(self) -> int:
        """See `Transport`."""
        return len(self._open)

    async def open(self, path: bytes, headers: Sequence[Header], body: bytes) -> LeanResponse:
        """See `Transport`. Raises ValueError, before anything is sent, for headers that could smuggle."""
        head = self._head.post(path, headers, len(body))
        if not self._slots.take():
            await self._slots.acquire()
        try:
            connection = self._idle.take() if self._idle is not None else None
            if connection is not None:
                try:
                    await connection.ask(head, body)
                except Unreachable:
                    connection = None  # the peer had closed it while it was idle: not a byte of an answer came
            if connection is None:
                connection = await self._connect()
                await connection.ask(head, body)
        except BaseException:
            self._slots.release()
            raise
        return LeanResponse(connection, self._give_back)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        if self._idle is None:
            self._idle = IdleConnections(loop, self._limits.keepalive, self._limits.idle_connections)
        connection = Connection(loop, str(self._origin), self._lost)
        if not self._closed:
            await dial(connection, self._origin, self._context, self._limits.connect_timeout, self._proxy)
            if not connection.closed:
                self._open.add(connection)
        if self._closed:
            connection.abort()
            raise Unreachable(f"could not connect to {self._origin}: this gateway is shutting down")
        return connection

    def _give_back(self, connection: Connection) -> None:
        if connection.reusable and self._idle is not None and not self._closed:
            self._idle.put(connection)
        else:
            connection.abort()
        self._slots.release()

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._idle is not None:
            self._idle.forget(connection)
        if self._emptied is not None and not self._open and not self._emptied.done():
            self._emptied.set_result(None)

    async def aclose(self) -> None:
        """See `Transport`. Requests under way fail with Broken, those that wait with Unreachable."""
        self._closed = True
        self._slots.open_to_all()
        if self._idle is not None:
            self._idle.clear()
        for connection in tuple(self._open):
            connection.abort()
        if self._open:
            self._emptied = self._emptied or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)
