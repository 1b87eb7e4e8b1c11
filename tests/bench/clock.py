"""An upstream whose events say when they were sent, so that the delay of each can be measured: python -m … PACE N.

Whatever does not ask for a stream (a health check, a first question) gets a whole answer at once.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
import time
from typing import cast

import httptools
import uvloop

STAMP = re.compile(rb"sent (\d+)\.")

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENT = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"sent %d."},"finish_reason":null}]}\n\n'
)
_LAST = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}\n\ndata: [DONE]\n\n'
)
_WHOLE = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"ready"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}'
)
_WHOLE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_WHOLE)
_STREAMED = re.compile(rb'"stream": ?true')
_SPREAD = itertools.cycle(range(100))


class Clock(asyncio.Protocol):
    """Answers every request with N events, one each PACE seconds; streams begin spread over one PACE."""

    def __init__(self, pace: float, events: int) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._pace = pace
        self._events = events
        self._left = 0
        self._body: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body.clear()

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if not _STREAMED.search(b"".join(self._body)):
            self._transport.write(_WHOLE_HEAD + _WHOLE)
            return
        self._left = self._events
        self._transport.write(_HEAD)
        self._later(self._pace * next(_SPREAD) / 100)

    def _later(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._send)

    def _send(self) -> None:
        if self._left:
            self._left -= 1
            self._write(_EVENT % time.perf_counter_ns())
            self._later(self._pace)
        else:
            self._write(_LAST)
            self._transport.write(b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))


async def serve(pace: float, events: int) -> None:
    """Serve on a free port, and print where."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Clock(pace, events), "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(float(sys.argv[1]), int(sys.argv[2])))
