"""One client connection of the sandbox: reads requests, performs scripts, and notes what the peer did."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import httptools

from providers.sandbox.reply import MARK, Ending, Script, Write

_LINGER_ZERO = struct.pack("ii", 1, 0)
_NOT_HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(slots=True, eq=False)
class Received:
    """A request as it arrived. Times are `time.monotonic()` seconds."""

    method: str
    path: str
    """With its query."""
    headers: list[tuple[str, str]]
    """Names and values as they were spelled, in order."""
    connection: int
    """Number of the connection it came on, from 1."""
    body: bytes = b""
    received_at: float = 0.0
    """When its last byte had arrived."""
    finished_at: float | None = None
    """When the last byte of the answer was handed to the socket."""
    closed_by_peer_at: float | None = None
    """When the peer left before the answer was finished."""

    @property
    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The last value of a header, whatever the case of its name."""
        wanted = name.lower()
        return next((value for key, value in reversed(self.headers) if key.lower() == wanted), None)


class Host(Protocol):
    """What a connection needs of its sandbox."""

    def opened(self, connection: Connection) -> None: ...
    def closed(self, connection: Connection) -> None: ...
    def noted(self) -> None:
        """Something about a request changed."""
        ...

    def perform(self, received: Received) -> tuple[Script, bytes]:
        """What to do for a request, and the id to put in place of the MARK."""
        ...


@dataclass(slots=True)
class _Incoming:
    """A request while it is read."""

    url: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """Serves one request after another; later ones wait until the answer before them is finished."""

    def __init__(self, host: Host, number: int) -> None:
        self.number = number
        self._host = host
        self._parser = httptools.HttpRequestParser(self)
        self._incoming = _Incoming()
        self._waiting: deque[tuple[Received, bool]] = deque()
        self._current: Received | None = None
        self._keep_alive = True
        self._writes: Iterator[Write] = iter(())
        self._held: bytes | None = None
        self._ending = Ending.KEEP
        self._id = b""
        self._timer: asyncio.Handle | None = None
        self._paused = False
        self._transport: asyncio.Transport

    @property
    def idle(self) -> bool:
        """Whether no answer is under way."""
        return self._current is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._host.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._host.closed(self)

    def eof_received(self) -> None:
        self._peer_left()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a fault of ours, not of the request: it must not pass as a 400
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.write(_NOT_HTTP)
            self._transport.close()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._perform()

    def on_message_begin(self) -> None:
        self._incoming = _Incoming()

    def on_url(self, url: bytes) -> None:
        self._incoming.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._incoming.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self._incoming.body.append(body)

    def on_message_complete(self) -> None:
        received = Received(
            method=self._parser.get_method().decode(),
            path=self._incoming.url.decode("latin-1"),
            headers=self._incoming.headers,
            connection=self.number,
            body=b"".join(self._incoming.body),
            received_at=time.monotonic(),
        )
        self._waiting.append((received, self._parser.should_keep_alive()))
        if self._current is None:
            self._next()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._stop()
        self._transport.abort()

    def close(self) -> None:
        """Close once what was written is out."""
        self._stop()
        self._transport.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.abort()

    def _next(self) -> None:
        self._current, self._keep_alive = self._waiting.popleft()
        script, self._id = self._host.perform(self._current)
        self._writes, self._ending = iter(script.writes), script.ending
        self._held = None
        self._perform()

    def _perform(self) -> None:
        """Write until there is something to wait for."""
        while self._current is not None and self._timer is None and not self._paused:
            if self._held is not None:
                data, self._held = self._held, None
                if data:
                    self._transport.write(data)
            write = next(self._writes, None)
            if write is None:
                self._finish()
                return
            self._held = write.data.replace(MARK, self._id)
            if write.delay or write.alone:
                self._timer = self._wait(write.delay)

    def _wait(self, delay: float) -> asyncio.Handle:
        return self._loop.call_later(delay, self._resume) if delay else self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._timer = None
        self._perform()

    def _finish(self) -> None:
        if self._ending is Ending.HANG or self._current is None:
            return
        self._current.finished_at = time.monotonic()
        self._current = None
        self._host.noted()
        if self._ending is Ending.RST:
            self.reset()
        elif self._ending is Ending.FIN or not self._keep_alive:
            self.close()
        elif self._waiting:
            self._next()

    def _peer_left(self) -> None:
        if self._current is not None and self._current.closed_by_peer_at is None:
            self._current.closed_by_peer_at = time.monotonic()
            self._host.noted()
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._current = None
        self._writes = iter(())
        self._waiting.clear()
