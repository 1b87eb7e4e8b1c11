"""aiohttp's session and pool as the httpx transport needs them: no cookies, no stale or spoilt connection."""

from __future__ import annotations

import ssl
from contextvars import ContextVar
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from providers.transport.base import MAX_HEAD_BYTES, MAX_HEADERS
from providers.transport.dial import ATTEMPT_DELAY

_NOT_ASKED_FOR = ("accept", "accept-encoding", "content-type", "user-agent")
"""Headers aiohttp would add of its own."""


class Attempt:
    """Told to the pool by whoever sends, and told back: which connection to use, and which it was."""

    __slots__ = ("fresh_only", "reused")

    def __init__(self, *, fresh_only: bool = False) -> None:
        self.fresh_only = fresh_only
        self.reused = False


current: ContextVar[Attempt] = ContextVar("attempt")
"""The attempt of the task that asks for a connection: httpx has no way through for it."""


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, unbounded here; it never hands out a connection on which something unasked has come.

    (aiohttp itself would take that for the next answer.)
    """

    def __init__(self, context: ssl.SSLContext, keepalive: float) -> None:
        super().__init__(limit=0, keepalive_timeout=keepalive, ssl=context, happy_eyeballs_delay=ATTEMPT_DELAY)
        self._seen: WeakSet[ResponseHandler] = WeakSet()

    @property
    def open_connections(self) -> int:
        return sum(protocol.is_connected() for protocol in tuple(self._seen))

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """Get a connection for the `current` attempt, from the pool or new."""
        attempt = current.get()
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None:
                return connection
            attempt.reused = protocol in self._seen
            self._seen.add(protocol)
            if not attempt.reused or not (attempt.fresh_only or protocol.should_close):
                return connection
            connection.close()


def session(connector: Connector) -> aiohttp.ClientSession:
    """A session that adds no header and keeps no cookie: one client's must not reach another's request."""
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NOT_ASKED_FOR,
        max_line_size=MAX_HEAD_BYTES,
        max_field_size=MAX_HEAD_BYTES,
        max_headers=MAX_HEADERS,
    )
