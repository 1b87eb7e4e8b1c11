"""The transport for what lean does not do (HTTP proxies), over any of httpx's transports."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import cast
from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from providers.errors import Broken, Unreachable
from providers.tasks import spawn
from providers.transport.aiohttp_pool import Attempt, Connector, current, session
from providers.transport.base import Header, Limits, Take, pump
from providers.transport.connection import SLICE
from providers.transport.dial import default_context
from providers.transport.faults import FOREIGN, translated
from providers.transport.origin import Origin, check
from providers.transport.pool import Slots
from providers.transport.tls import client_context


class _Slices(httpx.AsyncByteStream):
    """A large body, a slice at a time: whole, aiohttp would write it in one go and warn of that."""

    def __init__(self, body: bytes) -> None:
        self._unsent = memoryview(body)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._unsent:
            raise StopAsyncIteration
        piece, self._unsent = self._unsent[:SLICE], self._unsent[SLICE:]
        return bytes(piece)


class HttpxResponse:
    """An answer being read. Any fault or cancellation closes it."""

    def __init__(self, response: httpx.Response, peer: str, on_closed: Callable[[HttpxResponse], None]) -> None:
        self.status = response.status_code
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
        self.closing: asyncio.Task[None] | None = None
        """Ends when the connection is given back or gone."""
        self._stream = cast(httpx.AsyncByteStream, response.stream)
        self._chunks: AsyncIterator[bytes] = aiter(self._stream)
        self._peer = peer
        self._on_closed = on_closed
        self._reading = asyncio.Lock()
        self._alarm: asyncio.Timeout | None = None
        self._error: Exception | None = None

    async def read(self) -> bytes:
        """See `Response`."""
        if self.closing is not None:
            raise self._error or Broken("read after the answer was closed")
        try:
            return await self._next()
        except FOREIGN as error:
            fault = self._error or translated(error, self._peer, answering=True)
            self.abort(fault)
            raise fault from error
        except BaseException:
            self.close()
            raise

    async def _next(self) -> bytes:
        # The alarm has no time set: `abort` and `close` let it go off, whatever the stream waits for.
        async with self._reading, asyncio.timeout(None) as self._alarm:
            try:
                async for chunk in self._chunks:
                    if chunk:
                        return chunk
                return b""
            finally:
                self._alarm = None

    async def pump(self, take: Take) -> bool:
        """See `Response`."""
        return await pump(self, take)

    def close(self) -> None:
        """See `Response`."""
        self.abort(Broken("read after the answer was closed"))

    def abort(self, error: Exception) -> None:
        """See `Response`."""
        if self.closing is not None:
            return
        self._error = error
        if self._alarm is not None:
            self._alarm.reschedule(asyncio.get_running_loop().time())
        self.closing = spawn(self._dispose(), "httpx transport: close an answer")

    async def _dispose(self) -> None:
        try:
            async with self._reading:  # a generator cannot be closed while it runs
                if isinstance(self._chunks, AsyncGenerator):
                    await self._chunks.aclose()
                await self._stream.aclose()
        except FOREIGN:
            pass  # it is gone all the same
        finally:
            self._on_closed(self)


class HttpxTransport:
    """See `Transport`. Bodies are raw bytes: nothing is decoded. Redirects are answers like any other."""

    def __init__(
        self,
        base_url: str,
        limits: Limits,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        proxy: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        """By default over aiohttp's pool, since httpx's own loses connections to cancelled requests.

        `proxy` is an http(s) URL; the environment's is never used. `cert_file` (and `key_file`) is our
        certificate, `ca_file` what to trust instead of the system's store; all PEM.
        `limits.idle_connections` does not apply. Raises ValueError for what cannot be done.
        """
        self._origin = Origin.parse(base_url)
        self._base_url = base_url.rstrip("/")
        self._limits = limits
        self._slots = Slots(limits.connections)
        self._connector: Connector | None = None
        self._answers: set[HttpxResponse] = set()
        self._closed = False
        if transport is None:
            _refuse_unsupported(proxy)
            context = client_context(ca_file, cert_file, key_file) if ca_file or cert_file else default_context()
            transport = AiohttpTransport(
                verify=context,
                trust_env=False,
                proxy=httpx.Proxy(proxy) if proxy else None,
                client=lambda: self._session(context),
            )
        elif proxy or cert_file or key_file or ca_file:
            raise ValueError("a transport that is passed in brings its own options")
        self._transport: httpx.AsyncBaseTransport = transport

    @property
    def open_connections(self) -> int:
        """See `Transport`. Over a transport that was passed in: the answers being read."""
        return len(self._answers) if self._connector is None else self._connector.open_connections

    async def open(self, path: bytes, headers: Sequence[Header], body: bytes) -> HttpxResponse:
        """See `Transport`. Raises ValueError, before anything is sent, for headers that could smuggle."""
        check(path, headers)
        await self._slots.acquire()
        try:
            response = await self._send(path, headers, body)
        except BaseException:
            self._slots.release()
            raise
        answer = HttpxResponse(response, str(self._origin), self._given_back)
        self._answers.add(answer)
        return answer

    def _request(self, path: bytes, headers: Sequence[Header], body: bytes) -> httpx.Request:
        timeout = {"connect": self._limits.connect_timeout, "read": None, "write": None, "pool": None}
        return httpx.Request(
            "POST",
            self._base_url + path.decode("ascii"),
            headers=[
                (b"host", self._origin.authority.encode("ascii")),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ],
            content=body if len(body) <= SLICE else None,
            stream=_Slices(body) if len(body) > SLICE else None,
            extensions={"timeout": timeout},
        )

    async def _send(self, path: bytes, headers: Sequence[Header], body: bytes) -> httpx.Response:
        attempt = Attempt()
        try:
            return await self._attempt(attempt, self._request(path, headers, body))
        except Unreachable as error:
            if not (attempt.reused and _was_stale(error.__cause__)):
                raise
        return await self._attempt(Attempt(fresh_only=True), self._request(path, headers, body))

    async def _attempt(self, attempt: Attempt, request: httpx.Request) -> httpx.Response:
        if self._closed:
            raise Unreachable(f"could not connect to {self._origin}: this gateway is shutting down")
        current.set(attempt)
        try:
            return await self._transport.handle_async_request(request)
        except FOREIGN as error:
            raise translated(error, str(self._origin), answering=False) from error

    def _given_back(self, answer: HttpxResponse) -> None:
        self._answers.discard(answer)
        self._slots.release()

    def _session(self, context: ssl.SSLContext) -> aiohttp.ClientSession:
        # made within the first request, as aiohttp needs the running loop
        self._connector = Connector(context, self._limits.keepalive)
        return session(self._connector)

    async def aclose(self) -> None:
        """See `Transport`. Answers being read fail with Broken, requests that wait with Unreachable."""
        self._closed = True
        self._slots.open_to_all()
        answers = tuple(self._answers)
        for answer in answers:
            answer.abort(Broken(f"the connection to {self._origin} was closed by this side"))
        await asyncio.gather(*[answer.closing for answer in answers if answer.closing is not None])
        await self._transport.aclose()


def _was_stale(error: BaseException | None) -> bool:
    """Whether the peer had closed an idle connection: it ended, and no part of an answer had come."""
    cause = error.__cause__ if error else None
    if isinstance(cause, aiohttp.ServerDisconnectedError):
        return isinstance(cause.message, str)  # else it is the part of a head that had come
    return isinstance(cause, aiohttp.ClientOSError) and not isinstance(cause, aiohttp.ClientConnectorError)


def _refuse_unsupported(proxy: str | None) -> None:
    if proxy and (urlsplit(proxy).scheme not in ("http", "https") or "@" in proxy):
        raise ValueError("proxy: only http://host:port and https://host:port, without a user, are supported")
