"""A raw HTTP/1.1 client: constant bytes out, an answer checked against what it must hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools

PATIENCE = 40.0
"""Seconds an answer may take."""


class Wrong(Exception):
    """The answer is not what it must be."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask: a base URL that ends before /chat/completions, what to call the model, and further headers."""

    base_url: str
    model: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def address(self) -> tuple[str, int]:
        url = urlsplit(self.base_url)
        return url.hostname or "", url.port or 80

    def request(self, body: bytes) -> bytes:
        """The bytes of a POST."""
        lines = [
            f"POST {urlsplit(self.base_url).path}/chat/completions HTTP/1.1",
            "host: bench",
            "content-type: application/json",
            f"content-length: {len(body)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True, slots=True)
class Expected:
    """What a correct answer holds: `mark` so many times, and the end. Its head says 200."""

    mark: bytes
    times: int
    end: bytes

    def check(self, status: int, body: bytes) -> None:
        """Raises Wrong."""
        if status != 200:
            raise Wrong(f"status {status}: {body[:300]!r}")
        if (seen := body.count(self.mark)) != self.times:
            raise Wrong(f"{self.mark!r} {seen} times instead of {self.times}, in {body[:300]!r}")
        if not body.rstrip().endswith(self.end):
            raise Wrong(f"ends with {body[-100:]!r}")


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self, on_piece: Callable[[bytes], None] | None = None) -> None:
        """`on_piece` sees each piece of a body as it arrives."""
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._on_piece = on_piece or self._pieces.append
        self._answered: asyncio.Future[None] | None = None
        self.first = 0.0
        """When the body's first byte of the last answer came, by `time.perf_counter`."""
        self.reads = 0
        """How many times something arrived, ever."""

    @classmethod
    async def open(cls, target: Target, on_piece: Callable[[bytes], None] | None = None) -> Connection:
        host, port = target.address
        _, connection = await asyncio.get_running_loop().create_connection(lambda: cls(on_piece), host, port)
        return connection

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body (b"" where `on_piece` took it). Raises OSError, TimeoutError, httptools' errors."""
        self._pieces.clear()
        self.first = 0.0
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._answered
        return self._parser.get_status_code(), b"".join(self._pieces)

    def close(self) -> None:
        self._transport.abort()

    def fail(self, error: Exception) -> None:
        """End what is waited for."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(exc or ConnectionResetError("the connection was closed within an answer"))

    def data_received(self, data: bytes) -> None:
        self.reads += 1
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(error)

    def on_body(self, data: bytes) -> None:
        if not self.first:
            self.first = time.perf_counter()
        self._on_piece(data)

    def on_message_complete(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)


async def open_all(target: Target, count: int, on_piece: Callable[[bytes], None] | None = None) -> list[Connection]:
    """So many connections, a hundred at a time."""
    connections: list[Connection] = []
    while len(connections) < count:
        batch = min(100, count - len(connections))
        connections += await asyncio.gather(*[Connection.open(target, on_piece) for _ in range(batch)])
    return connections


def close_all(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.close()
