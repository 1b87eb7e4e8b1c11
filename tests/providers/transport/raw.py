"""A raw TCP or TLS server for tests: each connection is served by a script that says every byte and its time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        """The next request's head; kept in the server's `requests`."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.server.requests.append(head)
        return head

    async def request(self) -> bytes:
        """The next request whole; its body."""
        head = await self.head()
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return await self.reader.readexactly(length)

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            if self.writer.transport.is_closing():
                raise ConnectionResetError
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0)

    async def answer(self, body: bytes = b"ok", *fields: bytes) -> None:
        """One whole 200 to one whole request."""
        await self.request()
        await self.send(ok(body, *fields))

    async def close(self) -> None:
        """FIN."""
        self.writer.close()
        await self.writer.wait_closed()

    def reset(self) -> None:
        """RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Until the client has closed."""
        while await self.reader.read(65536):
            pass


Script = Callable[[Peer], Awaitable[None]]


def ok(body: bytes = b"ok", *fields: bytes) -> bytes:
    """A 200 with Content-Length, further `fields` each without line end."""
    head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def says(*pieces: bytes) -> Script:
    """A script: read one request, send these bytes, close."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        await peer.close()

    return script


async def serve(peer: Peer) -> None:
    """A script: answer every request with `ok`."""
    while True:
        await peer.answer()


class RawServer:
    """The n-th connection is served by the n-th script, further ones by the last. After a script: until FIN."""

    def __init__(self, *scripts: Script, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.scripts = scripts
        self.context = context
        self.host = host
        self.requests: list[bytes] = []
        self.accepted = 0
        self.open_connections = 0
        self.port = 0
        self._handlers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.context else 'http'}://{host}:{self.port}/v1"

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(
            self._handle, self.host, 0, ssl=self.context, backlog=200, limit=2**20
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)
        await self._server.wait_closed()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        script = self.scripts[min(self.accepted, len(self.scripts) - 1)]
        self.accepted += 1
        self.open_connections += 1
        peer = Peer(self, reader, writer)
        try:
            await script(peer)
            await peer.gone()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.open_connections -= 1
            writer.transport.abort()


async def until(condition: Callable[[], object], seconds: float = 2.0) -> None:
    """Wait for a condition that the other end of a socket brings about. Fails the test when it does not."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
