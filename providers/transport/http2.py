"""The transport over HTTP/2: requests share connections as streams; a cancelled one is reset, the others go on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from providers.errors import Broken, ConnectTimeout, Unreachable
from providers.transport.base import Header, Limits
from providers.transport.dial import dial
from providers.transport.h2_session import Session
from providers.transport.h2_stream import Stream
from providers.transport.origin import Origin, check
from providers.transport.pool import Slots
from providers.transport.proxy import Proxy


class Http2Transport:
    """See `Transport`. `limits.connections` bounds the answers being read: one connection carries many.

    Only HTTP/2 is offered, so an origin that has none is Unreachable. `limits.idle_connections` does not apply.
    """

    def __init__(self, base_url: str, limits: Limits, ssl_context: ssl.SSLContext, proxy: Proxy | None = None) -> None:
        """`ssl_context` is for this transport alone, which has it offer HTTP/2. Raises ValueError."""
        self._origin = Origin.parse(base_url)
        if not self._origin.secure:
            raise ValueError("http2: needs an https:// base URL")
        ssl_context.set_alpn_protocols(["h2"])
        self._context = ssl_context
        self._limits = limits
        self._proxy = proxy
        self._slots = Slots(limits.connections)
        self._connecting = asyncio.Lock()
        self._sessions: list[Session] = []
        self._made = 0
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None

    @property
    def open_connections(self) -> int:
        """See `Transport`."""
        return len(self._sessions)

    async def open(self, path: bytes, headers: Sequence[Header], body: bytes) -> Stream:
        """See `Transport`. Raises ValueError, before anything is sent, for headers that could smuggle."""
        check(path, headers)
        fields = self._fields(path, headers, len(body))
        await self._slots.acquire()
        try:
            stream = await self._exchange(fields, body)
        except BaseException:
            self._slots.release()
            raise
        stream.then(lambda _: self._slots.release())
        return stream

    def _fields(self, path: bytes, headers: Sequence[Header], length: int) -> list[Header]:
        return [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", self._origin.authority.encode("ascii")),
            (b":path", self._origin.path + path),
            (b"content-length", b"%d" % length),
            *[(name.lower(), value) for name, value in headers],
        ]

    async def _exchange(self, fields: Sequence[Header], body: bytes) -> Stream:
        session = await self._session()
        stream = session.ask(fields, body)
        try:
            await stream.answered()
        except Unreachable:
            if not stream.untouched:
                raise
        else:
            return stream
        stream = (await self._session(after=session.number)).ask(fields, body)
        await stream.answered()
        return stream

    async def _session(self, after: int = 0) -> Session:
        """One with room, made `after` another. Who comes while one is being made waits for it, and makes none."""
        if (known := self._with_room(after)) is not None:
            return known
        try:
            async with asyncio.timeout(self._limits.connect_timeout), self._connecting:
                return self._with_room(after) or await self._connect()
        except TimeoutError as error:
            waited = f"{self._limits.connect_timeout:g} s"
            raise ConnectTimeout(f"could not connect to {self._origin} over HTTP/2 within {waited}") from error

    def _with_room(self, after: int) -> Session | None:
        """The last made is the least likely to be stale."""
        return next((session for session in reversed(self._sessions) if session.number > after and session.room), None)

    async def _connect(self) -> Session:
        if self._closed:
            raise self._shutting_down()
        self._made += 1
        session = Session(asyncio.get_running_loop(), self._made, str(self._origin), self._changed)
        await dial(session, self._origin, self._context, self._limits.connect_timeout, self._proxy)
        try:
            if not session.gone:
                self._sessions.append(session)
            if self._closed:
                raise self._shutting_down()
            await session.ready()
        except BaseException:
            session.abort()
            raise
        return session

    def _shutting_down(self) -> Unreachable:
        return Unreachable(f"could not connect to {self._origin}: this gateway is shutting down")

    def _changed(self, session: Session) -> None:
        if session.gone and session in self._sessions:
            self._sessions.remove(session)
            if self._emptied is not None and not self._sessions and not self._emptied.done():
                self._emptied.set_result(None)
        elif session.room and not session.busy:
            idle = Unreachable(f"the connection to {self._origin} was idle for too long")
            session.expire(self._limits.keepalive, idle)

    async def aclose(self) -> None:
        """See `Transport`. Requests under way fail with Broken, those that wait with Unreachable."""
        self._closed = True
        self._slots.open_to_all()
        for session in tuple(self._sessions):
            session.leave(Broken(f"the connection to {self._origin} was closed by this side"))
        if self._sessions:
            self._emptied = self._emptied or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)
