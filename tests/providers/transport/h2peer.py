"""A real HTTP/2 server over TLS for tests: each stream is served by a script, and what becomes of it is kept."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

Script = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """The server's side of one stream."""

    def __init__(self, line: Line, number: int, fields: list[tuple[bytes, bytes]]) -> None:
        self.line = line
        self.number = number
        self.fields = fields
        self.body = b""
        self.whole = asyncio.Event()
        self.gone = asyncio.Event()
        """Reset by the client, or the connection is lost."""

    async def head(self, status: int = 200, *fields: tuple[str, str], end: bool = False) -> None:
        self.line.h2.send_headers(self.number, [(":status", str(status)), *fields], end_stream=end)
        self.line.flush()

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """A piece of the body, as fast as the client lets it."""
        while data or end:
            size = min(self.line.h2.local_flow_control_window(self.number), self.line.h2.max_outbound_frame_size)
            if data and size <= 0:
                await self.line.more_window()
                continue
            piece, data = data[:size], data[size:]
            self.line.h2.send_data(self.number, piece, end_stream=end and not data)
            self.line.flush()
            await self.line.writable.wait()
            if not data:
                return

    async def answer(self, body: bytes = b"ok") -> None:
        await self.whole.wait()
        await self.head()
        await self.send(body, end=True)

    def reset(self, code: ErrorCodes = ErrorCodes.INTERNAL_ERROR) -> None:
        self.line.h2.reset_stream(self.number, code)
        self.line.flush()


class Line(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, server: H2Server) -> None:
        self.server = server
        self.h2 = H2Connection(H2Configuration(client_side=False))
        self.exchanges: dict[int, Exchange] = {}
        self.writable = asyncio.Event()
        self.writable.set()
        self._window = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by type
        self.server.accepted += 1
        self.server.lines.add(self)
        limit = {SettingCodes.MAX_CONCURRENT_STREAMS: self.server.most}
        self.h2.local_settings = Settings(client=False, initial_values=limit)
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.h2.data_to_send())

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    async def more_window(self) -> None:
        self._window.clear()
        await self._window.wait()

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except ProtocolError as error:
            self.server.faults.append(error)
            self.flush()
            self.transport.close()
            return
        for event in events:
            self._heed(event)
        self.flush()

    def _heed(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._begin(
                    Exchange(self, event.stream_id, [(bytes(name), bytes(value)) for name, value in event.headers])
                )
            case DataReceived():
                self.exchanges[event.stream_id].body += event.data or b""
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            case StreamEnded():
                self.exchanges[event.stream_id].whole.set()
            case StreamReset():
                self.server.resets[ErrorCodes(event.error_code or 0)] += 1
                if event.stream_id in self.exchanges:
                    self.exchanges[event.stream_id].gone.set()
            case WindowUpdated():
                self._window.set()
            case ConnectionTerminated():
                self.server.goodbyes += 1

    def _begin(self, exchange: Exchange) -> None:
        self.exchanges[exchange.number] = exchange
        self.server.exchanges.append(exchange)
        self.server.most_open = max(self.server.most_open, self.h2.open_inbound_streams)
        script = self.server.scripts[min(len(self.server.exchanges), len(self.server.scripts)) - 1]
        task = asyncio.get_running_loop().create_task(_serve(script, exchange))
        self.server.tasks.add(task)
        task.add_done_callback(self.server.tasks.discard)

    def connection_lost(self, error: Exception | None) -> None:
        self.server.lines.discard(self)
        for exchange in self.exchanges.values():
            exchange.gone.set()


async def _serve(script: Script, exchange: Exchange) -> None:
    """Until the script or the stream is at its end."""
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(_quietly(script, exchange))
            leaving = group.create_task(exchange.gone.wait())
            await asyncio.wait([serving, leaving], return_when=asyncio.FIRST_COMPLETED)
            serving.cancel()
            leaving.cancel()
    except asyncio.CancelledError:
        pass


async def _quietly(script: Script, exchange: Exchange) -> None:
    with suppress(ProtocolError):  # the stream or the connection was closed while the script wrote
        await script(exchange)


class H2Server:
    """The n-th stream, whichever connection it comes on, is served by the n-th script, further ones by the last."""

    def __init__(self, context: ssl.SSLContext, *scripts: Script, most: int = 100) -> None:
        """`most`: streams a client may have open at once on a connection."""
        self.context = context
        self.scripts = scripts
        self.most = most
        self.most_open = 0
        self.accepted = 0
        self.goodbyes = 0
        self.lines: set[Line] = set()
        self.exchanges: list[Exchange] = []
        self.resets: Counter[ErrorCodes] = Counter()
        self.faults: list[Exception] = []
        self.tasks: set[asyncio.Task[None]] = set()
        context.set_alpn_protocols(["h2"])

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> H2Server:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Line(self), "127.0.0.1", 0, ssl=self.context, backlog=200)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for line in tuple(self.lines):
            line.transport.abort()
        while self.tasks:  # what comes in last begins some more
            for task in tuple(self.tasks):
                task.cancel()
            await asyncio.wait(self.tasks)
        await self._server.wait_closed()
