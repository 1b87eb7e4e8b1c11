"""The HTTP server's protocol with limits at the door: on heads, on half-sent requests, on ambiguous framing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router.edge import errors
from router.edge.disconnect import EXTENSION
from router.edge.wire import EXTENSION as WIRE
from router.edge.wire import Wire
from router.errors import BadRequest

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200
HEAD_SECONDS = 10.0


class Refusal(Exception):
    """Raised inside the parser's callbacks; says what to answer before the connection is closed."""

    def __init__(self, error: BadRequest) -> None:
        super().__init__(error.message)
        self.error = error


class Door(HttpToolsProtocol):
    """uvicorn's httptools protocol, made strict, and telling handlers when their client leaves."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._refused: BadRequest | None = None
        self._departures: dict[int, Callable[[], None]] = {}
        self._requests = 0
        self._await_head()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._in_head = True
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_overdue)

    def _head_overdue(self) -> None:
        idle = self._requests > 0 and self._head_bytes == 0
        if self._in_head and not idle and not self.transport.is_closing():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_timer.cancel()
        super().connection_lost(exc)
        for left in list(self._departures.values()):
            left()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._head_bytes == 0 and self._requests:
                self._head_timer.cancel()
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_overdue)
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(BadRequest("The request's head is larger than 64 kB.", status=431))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._requests += 1
        self._extensions: dict[str, Any] = {EXTENSION: partial(self._subscribe, self._requests)}
        self.scope["extensions"] = self._extensions

    def _subscribe(self, request: int, left: Callable[[], None] | None) -> None:
        if left is None:
            self._departures.pop(request, None)
        else:
            self._departures[request] = left

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_timer.cancel()
        fault = self._fault()
        if fault is not None:
            self._refused = fault
            raise Refusal(fault)
        super().on_headers_complete()
        # Its task has not begun yet.
        self._extensions[WIRE] = Wire(self.cycle)

    def _fault(self) -> BadRequest | None:
        headers: list[tuple[bytes, bytes]] = self.headers
        if len(headers) > MAX_HEADERS:
            return BadRequest(f"The request has more than {MAX_HEADERS} header fields.", status=431)
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD_BYTES:
            return BadRequest("The request's head is larger than 64 kB.", status=431)
        names = {name for name, _ in headers}
        if b"content-length" in names and b"transfer-encoding" in names:
            return BadRequest("Content-Length together with Transfer-Encoding is ambiguous: send one of them.")
        return None

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head_bytes = 0
        self._in_head = True

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for any fault of the parser: answered in our shape, once, and the connection closed."""
        refused = self._refused or BadRequest("This is not a valid HTTP request.")
        self._refuse(refused)

    def _refuse(self, error: BadRequest) -> None:
        body = errors.body(error)
        head: list[Any] = [
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            "",
            "",
        ]
        self.transport.write("\r\n".join(head).encode() + body)
        self.transport.close()
