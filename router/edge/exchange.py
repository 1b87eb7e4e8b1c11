"""One request as an ASGI application meets it: runs the application, and is its `receive` and `send`."""

from __future__ import annotations

import asyncio
import logging
import re
from http import HTTPStatus
from typing import Any

from router.edge.asgi import App, Message, Scope
from router.edge.wire import Wire

log = logging.getLogger("turnout")

_NO_NAME = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS = (204, 304)


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())


class Exchange(Wire):
    """A request of our server."""

    told_all = False
    """The application has received the body to its end."""
    bodiless = False
    """Its answer has no body, whatever the application sends: it is to a HEAD, or a 204 or 304."""
    chunked = False
    """The answer says its length chunk by chunk."""
    owed = 0
    """Bytes that are missing to the length which the answer's head promises."""

    async def run(self, app: App, scope: Scope) -> None:
        """Serve it. Raises nothing but for being cancelled; a request left without an answer is told so, or cut off."""
        self.bodiless = scope["method"] == "HEAD"
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            log.exception("a request failed in the gateway")
        finally:
            if not self.answered and not self.gone:
                self._line.break_off(self.started)

    async def receive(self) -> Message:
        """See ASGI."""
        if self.waits_to_send and not self.started and not self._line.transport.is_closing():
            self.waits_to_send = False
            self._line.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._line.resume_reading()
        while not self._has_news():
            self.news = self.news or asyncio.Event()
            self.news.clear()
            await self.news.wait()
        if self.gone or self.answered:
            return {"type": "http.disconnect"}
        self.told_all = not self.arriving
        return {"type": "http.request", "body": self.take(), "more_body": self.arriving}

    def _has_news(self) -> bool:
        return self.gone or self.answered or bool(self.unread) or (not self.arriving and not self.told_all)

    async def send(self, message: Message) -> None:
        """See ASGI. Raises RuntimeError for messages out of order, and what cannot be said in HTTP."""
        if self._line.writing_paused:
            await self._line.drained()
        if self.gone:
            return
        expected = "http.response.body" if self.started else "http.response.start"
        if self.answered or message["type"] != expected:
            raise RuntimeError(f"the application sent {message['type']} where {expected} was to come")
        if self.started:
            self._continue(message.get("body", b""), message.get("more_body", False))
        else:
            self._start(message["status"], message.get("headers", ()))

    def _start(self, status: int, headers: Any) -> None:
        if self.waits_to_send and self.arriving:
            self.keep_alive = False  # whether its body will come now is anybody's guess
        lines = [status_line(status), self._line.defaults()]
        lines += [self._line_of(name.lower(), value) for name, value in headers]
        names = {name.lower() for name, _ in headers}
        if not self.keep_alive and b"connection" not in names:
            lines.append(b"connection: close\r\n")
        self.bodiless = self.bodiless or status in _BODILESS
        if b"content-length" not in names and not self.bodiless:
            self.chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        self.started = True
        self._line.transport.write(b"".join(lines) + b"\r\n")

    def _line_of(self, name: bytes, value: bytes) -> bytes:
        if not name or _NO_NAME.search(name) or _NO_VALUE.search(value) or name == b"transfer-encoding":
            raise RuntimeError(f"not a header to answer with: {name[:80]!r}")
        if name == b"content-length":
            self.owed = int(value)
        elif name == b"connection" and b"close" in value.lower():
            self.keep_alive = False
        return b"%b: %b\r\n" % (name, value)

    def _continue(self, body: bytes, more: bool) -> None:
        if self.chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self._line.transport.write(chunk if more else chunk + b"0\r\n\r\n")
        elif not self.bodiless:
            self.owed -= len(body)
            if self.owed < 0 or (self.owed and not more):
                raise RuntimeError("the answer's length is not the one its head says")
            self._line.transport.write(body)
        if not more:
            self.complete()
