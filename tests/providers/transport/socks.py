"""A SOCKS5 proxy for tests: relays each connection byte for byte, its end and its reset included."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from ipaddress import ip_address
from types import TracebackType

_REPLY = {errno.ECONNREFUSED: 5, errno.ENETUNREACH: 3, errno.EHOSTUNREACH: 4}


class SocksProxy:
    """`asked` holds (kind of address, host, port) of every request, in order."""

    def __init__(self, *, script: bytes | None = None) -> None:
        """With a `script`, that is all it ever says."""
        self.script = script
        self.asked: list[tuple[int, str, int]] = []
        self.open_connections = 0
        self.port = 0
        self._handlers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"socks5://127.0.0.1:{self.port}"

    async def __aenter__(self) -> SocksProxy:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0, backlog=200)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for handler in tuple(self._handlers):
            handler.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)
        await self._server.wait_closed()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        self.open_connections += 1
        try:
            if self.script is not None:
                writer.write(self.script)
                await writer.drain()
                await reader.read()
                return
            upstream = await self._connected(reader, writer)
            if upstream is not None:
                await _relay(reader, writer, *upstream)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open_connections -= 1
            writer.transport.abort()

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        version, methods = await reader.readexactly(2)
        assert (version, await reader.readexactly(methods)) == (5, b"\0")
        writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        raw = await reader.readexactly(length)
        host = raw.decode() if kind == 3 else str(ip_address(raw))
        port = int.from_bytes(await reader.readexactly(2))
        self.asked.append((kind, host, port))
        try:
            upstream = await asyncio.open_connection(host, port)
        except OSError as error:
            writer.write(bytes([5, _REPLY.get(error.errno or 0, 4), 0, 1]) + bytes(6))
            await writer.drain()
            return None
        writer.write(b"\x05\x00\x00\x03\x04here\x00\x01")
        return upstream


async def _relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    up_reader: asyncio.StreamReader,
    up_writer: asyncio.StreamWriter,
) -> None:
    loop = asyncio.get_running_loop()
    ways = [loop.create_task(_pump(reader, up_writer)), loop.create_task(_pump(up_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)
        up_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
    except OSError:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
