"""The HTTP server's protocol: reads requests within limits on heads, on half-sent ones and on their framing."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any, cast
from urllib.parse import unquote

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from providers import tasks
from router.edge import errors
from router.edge.asgi import Scope
from router.edge.exchange import Exchange, status_line
from router.edge.wire import EXTENSION
from router.errors import ApiError, BadRequest

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200
HEAD_SECONDS = 10.0
MAX_UNREAD = 64 * 1024
"""Bytes of a body that may lie unread before the client is made to wait."""
MAX_WAITING = 32
"""Requests sent behind one that is being answered, before the client is made to wait."""
_NEVER = math.inf


class _Refusal(Exception):
    """Raised inside the parser's callbacks; says what to answer before the connection is closed."""

    def __init__(self, error: BadRequest) -> None:
        super().__init__(error.message)
        self.error = error


class Door(asyncio.Protocol):
    """One client's connection: its requests, one after another, each run as an `Exchange`. What uvicorn's server asks
    of its protocols is here under the names it uses."""

    transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._loop = _loop or asyncio.get_running_loop()
        self._app = config.loaded_app
        self._keep_seconds = config.timeout_keep_alive
        self._server = server_state
        self._app_state = app_state
        self._parser = _parser(self)
        self.writing_paused = self._reading_paused = False
        self._writable: asyncio.Event | None = None
        self._current: Exchange | None = None
        """Being answered."""
        self._arriving: Exchange | None = None
        """The one whose body is being read."""
        self._waiting: deque[tuple[Exchange, Scope]] = deque()
        """Sent behind the current one, which they wait for."""
        self._refused: ApiError | None = None
        """What comes after the answers that are still owed."""
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._read = self._unproductive = self._carried = 0
        self._deadline = _NEVER
        self._hurried = True
        self._timer: asyncio.TimerHandle | None = None
        self._defaults_of: object = None
        self._defaults = b""

    # What asyncio and the server call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.connections.add(cast(Any, self))
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "scheme": "https" if is_ssl(transport) else "http",
            "root_path": "",
        }
        self._close_at(self._loop.time() + HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(cast(Any, self))
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        self.resume_writing()
        current, self._current = self._current, None
        if current is not None:
            current.leave()
        del self._parser  # it refers back to us

    def eof_received(self) -> None:
        """Closes."""

    def shutdown(self) -> None:
        """No request more, but for those that are here already."""
        last = self._waiting[-1][0] if self._waiting else self._current
        if last is None:
            self.transport.close()
        else:
            last.keep_alive = False

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    async def drained(self) -> None:
        """See `Line`."""
        if self.writing_paused:
            self._writable = self._writable or asyncio.Event()
            await self._writable.wait()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """See `Line`."""
        if self._reading_paused and len(self._waiting) < MAX_WAITING and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    # Time

    def _close_at(self, deadline: float) -> None:
        """To be closed then, if nothing has come. A deadline later than the timer's is seen to when that goes off."""
        self._deadline = deadline
        if self._timer is not None and self._timer.when() > deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._overdue)

    def _overdue(self) -> None:
        self._timer = None
        if self._deadline > self._loop.time():
            if self._deadline != _NEVER:
                self._close_at(self._deadline)
        elif self._current is None:
            self.transport.close()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._refused is not None:
            return
        self._read = len(data)
        self._unproductive += self._read
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            pass  # it need not be taken up
        except HttpParserCallbackError as error:
            if not isinstance(error.__context__, _Refusal):
                raise
            self._refuse(error.__context__.error)
        except HttpParserError:
            self._refuse(BadRequest("This is not a valid HTTP request."))
        if self._unproductive > MAX_HEAD_BYTES:
            self._refuse(BadRequest("The request's head is larger than 64 kB.", status=431))
        elif self._url and not self._hurried:
            self._hurried = True
            self._close_at(self._loop.time() + HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        url, fields = self._url, self._fields
        self._url, self._fields = b"", []
        self._deadline, self._hurried = _NEVER, False
        if len(fields) > MAX_HEADERS or self._unproductive + self._carried > MAX_HEAD_BYTES:
            _check_size(url, fields)
        parser = self._parser
        headers = dict(fields)
        exchange = Exchange(self, headers, parser.should_keep_alive())
        scope = self._scope.copy()
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = _target(url)
        scope["headers"] = fields
        scope["state"] = self._app_state.copy()
        scope["extensions"] = {EXTENSION: exchange}
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
            exchange.keep_alive = False
        if b"expect" in headers:
            exchange.waits_to_send = headers[b"expect"].lower() == b"100-continue"
        self._arriving = exchange
        self._enqueue(exchange, scope)

    def on_body(self, data: bytes) -> None:
        self._unproductive = 0
        exchange = self._arriving
        if exchange is not None and not exchange.answered:
            exchange.feed(data)
            if len(exchange.unread) > MAX_UNREAD:
                self._pause_reading()

    def on_message_complete(self) -> None:
        self._unproductive = 0
        self._carried = self._read
        if self._fields:
            self._fields = []  # trailers must not become the next request's headers
        exchange, self._arriving = self._arriving, None
        if exchange is not None:
            exchange.arriving = False
            exchange.tell()

    # Answering

    def _enqueue(self, exchange: Exchange, scope: Scope) -> None:
        if self._current is None:
            self._current = exchange
            tasks.serve(self._loop, exchange.run(self._app, scope), self._server.tasks)
            return
        self._waiting.append((exchange, scope))
        if len(self._waiting) >= MAX_WAITING:
            self._pause_reading()

    def defaults(self) -> bytes:
        """See `Line`."""
        if self._server.default_headers is not self._defaults_of:  # a new list every second
            self._defaults_of = self._server.default_headers
            self._defaults = b"".join([b"%b: %b\r\n" % header for header in self._server.default_headers])
        return self._defaults

    def ok(self) -> bytes:
        """See `Line`."""
        return b"HTTP/1.1 200 OK\r\n" + self.defaults()

    def finished(self) -> None:
        """See `Line`."""
        self._server.total_requests += 1
        self._current = None
        if self._waiting and not self.transport.is_closing():
            self._enqueue(*self._waiting.popleft())
            self.resume_reading()
        elif self._refused is not None:
            self._answer(self._refused)
        else:
            self.resume_reading()
            self._close_at(self._loop.time() + (HEAD_SECONDS if self._url else self._keep_seconds))

    def break_off(self, started: bool) -> None:
        """See `Line`."""
        if started:
            self.transport.close()
        else:
            self._answer(ApiError("The gateway failed on this request; its log says why."))

    def _refuse(self, error: BadRequest) -> None:
        """Nothing more is read. What was sent whole is still answered; then comes `error`, and the end."""
        if self._refused is not None or self.transport.is_closing():
            return
        self._refused = error
        arriving = self._arriving
        if self._waiting and self._waiting[-1][0] is arriving:
            self._waiting.pop()
        if arriving is not None and arriving.started:
            self.transport.close()
        elif self._current is None or self._current is arriving:
            self._answer(error)

    def _answer(self, error: ApiError) -> None:
        if self.transport.is_closing():
            return
        body = errors.body(error)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(status_line(error.status) + head + body)
        self.transport.close()


def _parser(protocol: Door) -> HttpRequestParser:
    parser = HttpRequestParser(protocol)
    # What follows a request with `Connection: close` is ignored, where it would be an error while that is answered.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _check_size(url: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    if len(fields) > MAX_HEADERS:
        raise _Refusal(BadRequest(f"The request has more than {MAX_HEADERS} header fields.", status=431))
    if len(url) + sum([len(name) + len(value) + 4 for name, value in fields]) > MAX_HEAD_BYTES:
        raise _Refusal(BadRequest("The request's head is larger than 64 kB.", status=431))


def _target(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, decoded and as it came, and query string."""
    try:
        parsed = parse_url(url)
        raw: bytes | None = parsed.path
        if raw is None:
            raise ValueError
        path = raw.decode("ascii")
    except (HttpParserError, ValueError):
        raise _Refusal(BadRequest("This is not a valid HTTP request.")) from None
    return unquote(path) if "%" in path else path, raw, parsed.query or b""
