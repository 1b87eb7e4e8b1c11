"""The HTTP server's protocol: reads requests within limits on heads, on half-sent ones and on their framing."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from providers import tasks
from router.edge import errors
from router.edge.asgi import Scope
from router.edge.exchange import Exchange, status_line
from router.edge.heads import MAX_HEAD_BYTES, MAX_HEADERS, Refusal, check_size, invalid, target, too_large
from router.edge.socket import NEVER, Socket
from router.edge.wire import EXTENSION
from router.errors import ApiError, BadRequest

HEAD_SECONDS = 10.0
MAX_UNREAD = 64 * 1024
"""Bytes of a body that may lie unread before the client is made to wait."""
MAX_WAITING = 32
"""Requests sent behind one that is being answered, before the client is made to wait."""
_FRAMING = (b"content-length", b"transfer-encoding")


class Door(Socket):
    """One client's connection: its requests, one after another, each run as an `Exchange`. What uvicorn's server asks
    of its protocols is here under the names it uses."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(_loop or asyncio.get_running_loop(), config.timeout_keep_alive)
        self._app = config.loaded_app
        self._server = server_state
        self._parser = _parser(self)
        self._current: Exchange | None = None
        """Being answered."""
        self._arriving: Exchange | None = None
        """The one whose body is being read."""
        self._resumed: Exchange | None = None
        """Whose body is only now to be read."""
        self._waiting: deque[tuple[Exchange, Scope]] = deque()
        """Sent behind the current one, which they wait for."""
        self._refused: ApiError | None = None
        """What comes after the answers that are still owed."""
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._read = self._unproductive = self._carried = 0
        self._hurried = True
        self._defaults_of: object = None
        self._defaults = b""

    # What asyncio and the server call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.connections.add(cast(Any, self))
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": get_local_addr(self.transport),
            "client": get_remote_addr(self.transport),
            "scheme": "https" if is_ssl(self.transport) else "http",
            "root_path": "",
        }
        self.close_at(self.loop.time() + HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(cast(Any, self))
        self._waiting.clear()
        super().connection_lost(exc)
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

    def resume_reading(self) -> None:
        """See `Line`."""
        if len(self._waiting) < MAX_WAITING:
            super().resume_reading()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._refused is not None:
            return
        self._read = len(data)
        self._unproductive += self._read
        try:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade as offer:
                self._pass_over(data[offer.args[0] :])
        except HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refusal):
                raise
            self._refuse(error.__context__.error)
        except HttpParserError:
            self._refuse(invalid())
        if self._unproductive > MAX_HEAD_BYTES:
            self._refuse(too_large())
        elif self._url and not self._hurried and self._current is None:
            self._hurried = True
            self.close_at(self.loop.time() + HEAD_SECONDS)

    def _pass_over(self, rest: bytes) -> None:
        """Go on behind a request that offers another protocol, which need not be taken up."""
        while True:
            self._expect_body()
            if not rest:
                return
            try:
                self._parser.feed_data(rest)
                return
            except HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]

    def _expect_body(self) -> None:
        """The parser takes a request with such an offer for one without a body: another one is told of the body."""
        last = self._waiting[-1][0] if self._waiting else self._current
        framing = next((name for name in _FRAMING if last is not None and name in last.headers), None)
        if last is not None and framing is not None:
            self._parser = _parser(self)
            self._resumed = last
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b: %b\r\n\r\n" % (framing, last.headers[framing]))

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        url, fields = self._url, self._fields
        self._url, self._fields = b"", []
        self.deadline, self._hurried = NEVER, False
        if self._resumed is not None:
            self._arriving, self._resumed = self._resumed, None
            self._arriving.arriving = True
            return
        if len(fields) > MAX_HEADERS or self._unproductive + self._carried > MAX_HEAD_BYTES:
            check_size(url, fields)
        parser = self._parser
        headers = dict(fields)
        exchange = Exchange(self, headers, parser.should_keep_alive())
        scope = self._scope.copy()
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = target(url)
        scope["headers"] = fields
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
                self.pause_reading()

    def on_message_complete(self) -> None:
        self._unproductive = 0
        self._carried = self._read
        if self._fields:
            self._fields = []  # trailers must not become the next request's headers
        exchange, self._arriving = self._arriving, None
        if exchange is not None:
            exchange.arriving = False
            if exchange.news is not None:
                exchange.news.set()

    # Answering

    def _enqueue(self, exchange: Exchange, scope: Scope) -> None:
        if self._current is None:
            self._current = exchange
            tasks.serve(self.loop, exchange.run(self._app, scope), self._server.tasks)
            return
        self._waiting.append((exchange, scope))
        if len(self._waiting) >= MAX_WAITING:
            self.pause_reading()

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
            if self.reading_paused:
                self.resume_reading()
            self.close_at(self.loop.time() + (HEAD_SECONDS if self._url else self.patience))

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
